// Questions to the server, and what it is asked to do. What it promises: whatever comes back, also
// the error page of a proxy or nothing at all, is an answer or a `Problem` with a sentence to show.

/** Why something did not come about, in a sentence for people. */
export class Problem extends Error {
  constructor(detail, { status = 0, final = false } = {}) {
    super(detail);
    this.detail = detail;
    this.status = status;
    /** Whether the service itself has refused: to ask again would only be refused again. */
    this.final = final;
  }
}

const BY_STATUS = {
  401: "The service does not know who you are.",
  403: "You may not do this.",
  404: "It is gone, or it is not yours to see.",
  413: "That is too long for the service.",
  429: "The service is asked too often. Try again in a moment.",
  502: "The service cannot be reached through the proxy.",
  503: "The service cannot answer now. Try again in a moment.",
  504: "The service did not answer the proxy in time.",
};

const FINAL = [401, 403, 404];

/** @param {Response} answer one that is not ok */
export async function problemOf(answer) {
  const otherwise = BY_STATUS[answer.status] ?? `The service answered with ${answer.status}.`;
  const { status } = answer;
  const type = answer.headers.get("content-type") ?? "";
  if (!/\bjson\b/.test(type)) {
    await answer.body?.cancel();
    return new Problem(otherwise, { status });
  }
  const body = await answer.json().catch(() => null);
  const detail = body?.detail || body?.title;
  // What a proxy answers in the place of the service may be over in a moment.
  const final = FINAL.includes(status) && /^application\/problem\+json\b/i.test(type);
  return new Problem(typeof detail === "string" ? detail : otherwise, { status, final });
}

async function ask(address, init = {}) {
  const { signal, ...rest } = init;
  const within = AbortSignal.timeout(30_000);
  let answer;
  try {
    answer = await fetch(address, {
      cache: "no-store",
      redirect: "manual",
      ...rest,
      signal: signal ? AbortSignal.any([signal, within]) : within,
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    const late = error?.name === "TimeoutError";
    throw new Problem(late ? "The service did not answer within 30 s; what was asked may have been done: look before you ask again." : "The service cannot be reached; look whether it was done before you ask again.");
  }
  if (answer.type === "opaqueredirect") {
    throw new Problem("You are sent elsewhere, perhaps to sign in. Load this page again to follow.");
  }
  if (!answer.ok) throw await problemOf(answer);
  const body = await answer.json().catch(() => null);
  if (body === null) throw new Problem("Something between here and the service answered in its place.");
  return body;
}

/** A page of operations, the newest first. */
export function list(filter, signal) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(filter)) if (value) query.set(name, value);
  return ask(`./api/?${query}`, { signal });
}

/** One operation, and what happened to it. */
export function history(id, signal) {
  return ask(`./api/${encodeURIComponent(id)}/history`, { signal });
}

/** Asks one, or a whole tree, to stop; or with `dry_run` how many that would be. */
export function cancel(id, request, signal) {
  return ask(`./api/${encodeURIComponent(id)}/cancel`, {
    method: "POST",
    headers: { "content-type": "application/json", "x-desist": "1" },
    body: JSON.stringify(request),
    signal,
  });
}
