/**
 * Carillon's web client: registers a device, holds its connection to a gateway and acknowledges what was shown.
 * For browsers and for Node 20 and later (give it a WebSocket there). It needs memory.js, pauses.js and registering.js
 * beside it, and nothing else; the protocol: docs/gateway.md.
 *
 *     const device = new Carillon({ appKey, bundleId, apiUrl, show: (notification) => { … } });
 *     device.addEventListener("state", ({ detail }) => console.log(detail.name));
 *     await device.connect();
 */

import { Memory, parsed } from "./memory.js";
import { SILENT, isFinal, pauseS, retryAfterS } from "./pauses.js";
import { register } from "./registering.js";

export { NotRegistered } from "./registering.js";

/** What a device says of a notification: `show` returned, its payload could not be read, `show` threw. */
export const Code = Object.freeze({ DELIVERED: 100, NOT_DECODABLE: 101, NOT_SHOWN: 102 });

/** To be thrown by `show` for a payload that it cannot read. */
export class NotDecodable extends Error {}

export const KEPT_IDS = 1000; // of notifications that were here already
const GREETED_WITHIN_S = 15; // from opening the socket to the gateway's hello
const GATHER_MS = 20; // acknowledgements of so long go into one frame
const MAX_IDS = 500; // in one frame
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/**
 * One device of one app. Events, each with a `detail`:
 *   state     { name, … }: idle; connecting { gateway }; open { gateway, deviceId }; waiting { pauseS, code, reason };
 *             stopped { code, reason } after a close code that is final (4409: this device is connected elsewhere)
 *   withdraw  { ids }: take these back, if they are still shown
 *   fault     { error }: `show` threw, or the gateway said what is no JSON
 */
export class Carillon extends EventTarget {
  #options;
  #memory;
  #facts; // { token, deviceId, gateways }: kept in storage
  #shown; // id -> code, the oldest first: kept in storage
  #isKept = true; // whether the storage knows them all
  #showing = new Set();
  #acks = [];
  #seen = new Set();
  #socket = null;
  #connecting = null;
  #failures = 0;
  #turn = 0; // which gateway is next
  #heardAt = 0;
  #saidAt = 0;
  #timers = {};

  /**
   * appKey     the app's publishable key, cn_app_…
   * bundleId   the app's id; also names what is kept in storage
   * apiUrl     where devices register; "" for this page's own origin
   * gateways   addresses, ws(s)://…/v1/connect, besides those that are told by the API and by gateways
   * show       (notification) => anything, or a promise: it was shown; throws: it was not
   * napS       less urgent notifications may wait so long, in seconds (0: at once)
   * storage, WebSocket, fetch, random: instead of localStorage and the globals
   */
  constructor({ appKey, bundleId, apiUrl = "", gateways = [], show, napS = 0, region = null, ...rest }) {
    super();
    const { storage, WebSocket = globalThis.WebSocket, fetch = globalThis.fetch, random = Math.random } = rest;
    this.#options = { appKey, bundleId, apiUrl, gateways, show, napS, region, WebSocket, fetch, random };
    this.#memory = new Memory(`carillon:${bundleId}:`, storage);
    this.#recall();
    this.state = { name: "idle" };
    globalThis.addEventListener?.("online", () => this.#hurry());
    globalThis.addEventListener?.("pagehide", () => this.#flush());
  }

  /** The id of this device, or null before it is registered. */
  get deviceId() {
    return this.#facts.deviceId ?? null;
  }

  /** The token of this device, or null: whoever has it can send to the device. */
  get token() {
    return this.#facts.token ?? null;
  }

  /** Register this device, or the same one again. `facts`: platform, device_info, region, user. NotRegistered. */
  async register(facts = {}) {
    const token = this.#facts.token ?? undefined;
    const told = await register(this.#options, { ...facts, token });
    this.#know({ token: told.token ?? token, deviceId: told.device_id, gateways: told.gateways });
    return told.device_id;
  }

  /** Register if need be, then connect and stay connected until `close` or a final close code. */
  async connect() {
    if (this.#socket || this.state.name === "waiting") return;
    this.#flush();
    this.#recall(); // another window may have had the connection meanwhile
    const isNew = !this.#facts.token || !this.#gateways.length;
    if (isNew) await (this.#connecting ??= this.register().finally(() => (this.#connecting = null)));
    if (this.#socket) return;
    this.#failures = this.#turn = 0;
    this.#open();
  }

  /** Disconnect, and stay so. */
  close() {
    this.#flush();
    this.#drop(1000);
    this.#become({ name: "idle" });
  }

  /** Disconnect and forget the device's token and all that was shown: the next `connect` makes a new device. */
  forget() {
    this.close();
    this.#facts = {};
    this.#shown.clear();
    this.#memory.clear("device", "shown");
  }

  /** A person has seen these notifications. Without a connection they are told with the next one. */
  seen(ids) {
    for (const id of ids) if (UUID.test(id)) this.#seen.add(id);
    this.#flush();
  }

  // ---- the connection

  /** Those that a gateway told, home region first; then those that the app names. */
  get #gateways() {
    return [...new Set([...(this.#facts.gateways ?? []), ...this.#options.gateways])];
  }

  #open() {
    const gateway = this.#gateways[this.#turn % this.#gateways.length];
    if (!gateway) return this.#failed(0, "no gateway is up");
    this.#become({ name: "connecting", gateway });
    let socket;
    try {
      socket = new this.#options.WebSocket(gateway);
    } catch (error) {
      return this.#failed(0, error.message); // such as ws:// from a page of https://
    }
    const whileOurs = (listen) => (event) => socket === this.#socket && listen(event);
    this.#socket = socket;
    this.#timers.greeted = setTimeout(() => this.#failed(0, "no hello"), GREETED_WITHIN_S * 1000);
    socket.addEventListener("open", whileOurs(() => this.#hello()));
    socket.addEventListener("message", whileOurs(({ data }) => this.#hear(data, gateway)));
    socket.addEventListener("error", () => {}); // a close follows, and says more
    socket.addEventListener("close", whileOurs(({ code, reason }) => this.#failed(code, reason)));
  }

  /** None was up when this device registered: the API is asked again. */
  async #ask() {
    const asking = { name: "connecting", gateway: null };
    this.#become(asking);
    const trouble = await this.register().catch((error) => error.message);
    if (this.state !== asking) return; // it was closed meanwhile
    if (this.#gateways.length) this.#open();
    else this.#failed(0, this.deviceId === trouble ? "no gateway is up" : trouble);
  }

  #hello() {
    const { appKey, napS, region } = this.#options;
    const hello = { type: "hello", app_key: appKey, token: this.#facts.token };
    hello.last_seen = [...this.#shown.keys()].at(-1) ?? null;
    if (napS > 0) hello.nap_s = napS;
    if (region) hello.region = region;
    this.#say(hello);
  }

  #greeted({ device_id: deviceId, heartbeat_s: everyS, gateways }, gateway) {
    clearTimeout(this.#timers.greeted);
    this.#failures = 0;
    this.#know({ deviceId, gateways });
    this.#turn = Math.max(0, this.#gateways.indexOf(gateway));
    clearInterval(this.#timers.beat);
    this.#timers.beat = setInterval(() => this.#beat(everyS * 1000), everyS * 500);
    this.#become({ name: "open", gateway, deviceId });
    this.#flush();
  }

  /** Both sides speak at least once in a heartbeat; who is silent for two is gone, whatever the socket says. */
  #beat(everyMs) {
    const now = Date.now();
    if (now - this.#heardAt >= 2 * everyMs) this.#failed(SILENT, "the gateway is silent");
    else if (now - this.#saidAt >= everyMs || now - this.#heardAt >= everyMs) this.#say({});
  }

  /** A lost connection is sought where it was best, one that was refused or ended elsewhere first. */
  #failed(code, reason) {
    const wasOpen = this.state.name === "open";
    this.#drop();
    if (isFinal(code)) return this.#become({ name: "stopped", code, reason });
    this.#turn = wasOpen && !(code >= 4500 && code <= 4599) ? 0 : this.#turn + 1;
    const askedS = retryAfterS(reason);
    const jitterS = pauseS(this.#failures++, this.#options.random);
    this.#again(askedS === null ? jitterS : askedS + this.#options.random(), { code, reason });
  }

  #again(afterS, why) {
    clearTimeout(this.#timers.again);
    this.#timers.again = setTimeout(() => (this.#gateways.length ? this.#open() : this.#ask()), afterS * 1000);
    this.#become({ name: "waiting", pauseS: afterS, ...why });
  }

  /** The network is back: no need to wait for as long as it was gone, unless a gateway asked for that. */
  #hurry() {
    const { name, code, reason } = this.state;
    if (name !== "waiting" || retryAfterS(reason) !== null) return;
    this.#failures = 0;
    this.#again(pauseS(0, this.#options.random), { code, reason });
  }

  #drop(code) {
    const socket = this.#socket;
    this.#socket = null; // nothing that it still says is heard
    this.#acks = []; // what is sent again on another connection is acknowledged there
    clearTimeout(this.#timers.greeted);
    clearTimeout(this.#timers.again);
    clearInterval(this.#timers.beat);
    if (socket && socket.readyState < 2) socket.close(code);
  }

  // ---- what is said

  #hear(data, gateway) {
    this.#heardAt = Date.now();
    const frame = parsed(data);
    if (frame?.type === "hello") this.#greeted(frame, gateway);
    else if (frame?.type === "notification") this.#take(frame);
    else if (frame?.type === "batch") frame.notifications.forEach((each) => this.#take(each));
    else if (frame?.type === "withdraw") this.#tell("withdraw", { ids: frame.ids });
    else if (typeof frame !== "object") this.#tell("fault", { error: new Error("the gateway said what is no JSON") });
  }

  /** Show a notification once, and acknowledge it as often as it comes. */
  async #take(notification) {
    const { id, payload } = notification;
    if (!UUID.test(id) || this.#showing.has(id)) return;
    if (!this.#shown.has(id)) {
      this.#showing.add(id);
      let code = Code.DELIVERED;
      try {
        if (payload === null || typeof payload !== "object") throw new NotDecodable("the payload is no object");
        await this.#options.show(notification);
      } catch (error) {
        code = error instanceof NotDecodable ? Code.NOT_DECODABLE : Code.NOT_SHOWN;
        this.#tell("fault", { error, id });
      }
      this.#showing.delete(id);
      this.#shown.set(id, code);
      this.#isKept = false;
      if (this.#shown.size > KEPT_IDS) this.#shown.delete(this.#shown.keys().next().value);
    }
    this.#acks.push({ id, code: this.#shown.get(id) });
    this.#timers.flush ??= setTimeout(() => this.#flush(), GATHER_MS);
  }

  /** Keep what was shown before saying so: after a reload nothing is shown twice. */
  #flush() {
    clearTimeout(this.#timers.flush);
    this.#timers.flush = undefined;
    if (!this.#isKept) this.#memory.write("shown", [...this.#shown]);
    this.#isKept = true;
    if (this.state.name !== "open" || this.#socket.readyState !== 1) return;
    while (this.#acks.length) this.#say({ type: "ack", ids: this.#acks.splice(0, MAX_IDS) });
    const seen = [...this.#seen];
    this.#seen.clear();
    while (seen.length) this.#say({ type: "seen", ids: seen.splice(0, MAX_IDS) });
  }

  #say(frame) {
    this.#saidAt = Date.now();
    if (this.#socket?.readyState === 1) this.#socket.send(JSON.stringify(frame));
  }

  #recall() {
    this.#facts = this.#memory.read("device") ?? this.#facts ?? {};
    this.#shown = new Map(this.#memory.read("shown") ?? this.#shown);
  }

  #know({ gateways, ...facts }) {
    Object.assign(this.#facts, facts, gateways?.length ? { gateways } : {});
    this.#memory.write("device", this.#facts);
  }

  #become(state) {
    this.state = state;
    this.#tell("state", state);
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
