/** What a device keeps over reloads. Part of Carillon's web client: see carillon.js. */

/** Values by name, as JSON in a storage; in memory only where there is none, or where it refuses. */
export class Memory {
  #prefix;
  #storage;

  constructor(prefix, storage) {
    this.#prefix = prefix;
    try {
      this.#storage = storage ?? globalThis.localStorage;
    } catch {
      this.#storage = undefined; // a browser that was told to keep nothing
    }
  }

  read(name) {
    return parsed(this.#storage?.getItem(this.#prefix + name));
  }

  write(name, value) {
    try {
      this.#storage?.setItem(this.#prefix + name, JSON.stringify(value));
    } catch {
      // full or refused: all goes on, only a reload will not know
    }
  }

  clear(...names) {
    for (const name of names) this.#storage?.removeItem(this.#prefix + name);
  }
}

/** The value of a JSON text; undefined for what is none. */
export function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
