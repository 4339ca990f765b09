/** The sample page: a device that anybody can look at. It shows how an app uses `carillon.js`, and nothing more. */
import { Carillon, NotDecodable } from "./carillon.js";

const find = (id) => document.getElementById(id);
const FIELDS = { app_key: "app-key", app: "bundle-id", api: "api-url", gateway: "gateway", nap: "nap" };
const SETTINGS = "carillon:page";
const SEEN_AFTER_MS = 1000; // in view, of a page that is looked at
const MAX_SHOWN = 100;
const MAX_LOG = 200;
const URGENCY = { 10: "now", 5: "when it suits", 1: "in a batch" };

let device = null;

// ---- the form: filled from what was entered last, and from the fragment of a link, which no server gets to see

function fill() {
  const kept = JSON.parse(localStorage.getItem(SETTINGS) ?? "{}");
  const given = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  for (const [name, id] of Object.entries(FIELDS)) find(id).value = given[name] ?? kept[name] ?? find(id).value;
  if (location.hash.includes("app_key=")) history.replaceState(null, "", location.pathname);
  return kept.is_on || "app_key" in given;
}

function keep(isOn) {
  const entered = Object.entries(FIELDS).map(([name, id]) => [name, find(id).value.trim()]);
  localStorage.setItem(SETTINGS, JSON.stringify({ ...Object.fromEntries(entered), is_on: isOn }));
}

function open() {
  device?.close();
  device = new Carillon({
    appKey: find("app-key").value.trim(),
    bundleId: find("bundle-id").value.trim(),
    apiUrl: find("api-url").value.trim().replace(/\/+$/, ""),
    gateways: [find("gateway").value.trim()].filter(Boolean),
    napS: Number(find("nap").value) || 0,
    show,
  });
  device.addEventListener("state", ({ target, detail }) => target === device && tell(detail));
  device.addEventListener("withdraw", ({ detail }) => detail.ids.forEach((id) => cardOf(id)?.remove()) ?? recount());
  device.addEventListener("fault", ({ detail }) => log(`not shown: ${detail.error.message}`));
}

async function connect() {
  open();
  keep(true);
  complain("");
  log("connecting");
  try {
    await device.connect();
  } catch (error) {
    complain(`This device could not be registered: ${error.message}`);
    log(`not registered: ${error.reason ?? error.name}`);
  }
}

// ---- what the device is doing

const WORDS = {
  idle: () => "Not connected",
  connecting: () => "Connecting…",
  open: () => "Connected",
  waiting: ({ pauseS }) => `Again in ${Math.ceil(pauseS)} s`,
  stopped: ({ code }) => (code === 4409 ? "Connected elsewhere" : "Stopped"),
};
const WHY = {
  4401: "The gateway does not know this device or this app key. “Forget this device”, then connect anew.",
  4403: "This app does not allow pages of this origin, or the token is another app's.",
  4409: "Another window has connected as this device. Connect to bring it back here.",
  4410: "This device was taken out of service. “Forget this device”, then connect anew.",
};

function tell(state) {
  find("state").dataset.state = state.name;
  find("state-words").textContent = WORDS[state.name](state);
  find("off").disabled = state.name === "idle" || state.name === "stopped";
  find("on").disabled = !find("off").disabled;
  find("facts").hidden = find("forget").hidden = !device.deviceId;
  find("device-id").textContent = device.deviceId ?? "";
  find("token").textContent = device.token ? `${device.token.slice(0, 6)}…` : "";
  find("gateway-now").textContent = state.gateway ?? "none now";
  if (state.name === "open") complain("");
  if (state.name === "stopped") complain(WHY[state.code] ?? `The gateway ended this for good: ${state.reason}.`);
  log([WORDS[state.name](state), state.gateway, state.code && `(${state.code})`, state.reason].filter(Boolean).join(" "));
}

function complain(words) {
  find("trouble").textContent = words;
  find("trouble").hidden = !words;
}

function log(words) {
  const line = document.createElement("li");
  line.textContent = `${new Date().toLocaleTimeString()} ${words}`;
  find("log").prepend(line);
  if (find("log").children.length > MAX_LOG) find("log").lastChild.remove();
}

// ---- notifications

/** Returns when it stands on the page; what it throws becomes the device's answer. */
function show(notification) {
  const { id, payload, collapse_id: collapseId } = notification;
  const { aps = {}, actions = [], image_url: picture } = payload;
  const alert = typeof aps.alert === "string" ? { body: aps.alert } : aps.alert;
  if (aps["content-available"] === 1 && !alert) return log(`silent: ${JSON.stringify(payload.data ?? {})}`);
  if (!alert) throw new NotDecodable("there are no words in aps.alert");
  const card = find("notification").content.firstElementChild.cloneNode(true);
  card.dataset.id = id;
  card.dataset.wake = notification.priority;
  card.dataset.collapse = collapseId ?? "";
  card.classList.add("is-new");
  card.querySelector(".title").textContent = [alert.title, alert.subtitle].filter(Boolean).join(" · ");
  card.querySelector(".body").textContent = alert.body ?? "";
  if (picture) Object.assign(card.querySelector(".picture"), { src: picture, hidden: false });
  for (const action of actions) card.querySelector(".actions").append(button(action, id));
  const now = new Date();
  Object.assign(card.querySelector("time"), { dateTime: now.toISOString(), textContent: now.toLocaleTimeString() });
  const tags = [notification.topic && `topic ${notification.topic}`, notification.stored && "kept until you came"];
  tags.push(collapseId && `latest of ${collapseId}`, notification.priority !== 10 && URGENCY[notification.priority]);
  for (const words of tags.filter(Boolean)) card.querySelector(".tags").append(tag(words));
  if (collapseId) find("notifications").querySelector(`[data-collapse="${CSS.escape(collapseId)}"]`)?.remove();
  find("notifications").prepend(card);
  if (find("notifications").children.length > MAX_SHOWN) find("notifications").lastElementChild.remove();
  eyes.observe(card);
  recount();
}

function button({ id: action, title }, id) {
  const made = Object.assign(document.createElement("button"), { type: "button", textContent: title ?? action });
  made.className = "small";
  made.addEventListener("click", () => log(`“${made.textContent}” chosen for ${id}`));
  return made;
}

function tag(words, kind = "") {
  return Object.assign(document.createElement("span"), { className: `tag ${kind}`, textContent: words });
}

const cardOf = (id) => find("notifications").querySelector(`[data-id="${CSS.escape(id)}"]`);

/** Seen is what was in view for a second while somebody looked at the page. */
const eyes = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    clearTimeout(target.timer);
    if (isIntersecting) target.timer = setTimeout(() => see(target), SEEN_AFTER_MS);
  }
}, { threshold: 0.6 });

function see(card) {
  if (document.visibilityState !== "visible") return;
  eyes.unobserve(card);
  card.classList.remove("is-new");
  card.querySelector(".tags").append(tag("seen", "is-seen"));
  device.seen([card.dataset.id]);
}

function recount() {
  const count = find("notifications").children.length;
  find("count").textContent = count;
  find("nothing").hidden = count > 0;
  find("clear").hidden = count === 0;
}

// ---- buttons

find("connect").addEventListener("submit", (event) => {
  event.preventDefault();
  connect();
});
find("off").addEventListener("click", () => {
  device.close();
  keep(false);
});
find("forget").addEventListener("click", () => {
  device.forget();
  keep(false);
  tell({ name: "idle" });
});
find("clear").addEventListener("click", () => {
  find("notifications").replaceChildren();
  recount();
});
find("copy").addEventListener("click", async () => {
  await navigator.clipboard.writeText(device.token);
  find("copy").textContent = "Copied";
});
document.addEventListener("visibilitychange", () => {
  for (const card of document.querySelectorAll(".is-new")) {
    eyes.unobserve(card); // and look again: hidden pages see nothing
    eyes.observe(card);
  }
});

addEventListener("hashchange", () => fill() && connect());
if (fill()) connect();
