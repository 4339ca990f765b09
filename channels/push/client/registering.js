/** How a device makes itself known to the API. Part of Carillon's web client: see carillon.js. */

/** A registration that was refused. `status`: of HTTP; `reason`: the label of the problem document. */
export class NotRegistered extends Error {
  constructor(status, { reason = "unknown", detail = `HTTP ${status}` } = {}) {
    super(detail);
    Object.assign(this, { name: "NotRegistered", status, reason });
  }
}

/** Register a device, or the one that `facts` name by their token again; the API's answer. NotRegistered. */
export async function register({ apiUrl, appKey, bundleId, fetch }, facts) {
  const answer = await fetch.call(globalThis, `${apiUrl}/api/v1/devices/register`, {
    method: "POST",
    headers: { authorization: `Bearer ${appKey}`, "content-type": "application/json" },
    body: JSON.stringify({ app_bundle_id: bundleId, platform: "web", ...facts }),
    credentials: "omit",
    referrerPolicy: "no-referrer",
  });
  const told = await answer.json().catch(() => undefined);
  if (!answer.ok) throw new NotRegistered(answer.status, told);
  return told;
}
