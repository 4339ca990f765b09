/** When a lost connection is tried again, and when never. Part of Carillon's web client: see carillon.js. */

import { parsed } from "./memory.js";

const FIRST_PAUSE_S = 4;
const SHORTEST_PAUSE_S = 1;
const LONGEST_PAUSE_S = 60;
const LONGEST_RETRY_AFTER_S = 3600;

/** The close code for a device that was silent, as after a laptop's sleep. */
export const SILENT = 4408;

/** Full jitter: a random pause in seconds, of at least 1 and at most 4, 8, 16, 32, then 60. */
export function pauseS(failures, random = Math.random) {
  const longest = Math.min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** failures);
  return SHORTEST_PAUSE_S + random() * (longest - SHORTEST_PAUSE_S);
}

/** Whether a close code means that trying again would not help: all 44xx, except for one who was only silent. */
export function isFinal(code) {
  return code >= 4400 && code <= 4499 && code !== SILENT;
}

/** What a close reason asks to wait, in seconds, or null: `{"retry_after_s": 7.5}`. */
export function retryAfterS(reason) {
  const seconds = parsed(reason)?.retry_after_s;
  return Number.isFinite(seconds) && seconds >= 0 ? Math.min(seconds, LONGEST_RETRY_AFTER_S) : null;
}
