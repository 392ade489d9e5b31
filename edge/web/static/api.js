// The API: answers as values, refusals as errors with the sentence that the box gave.

let session = { user: null, csrf: "", guarded: false, asks_name: true };

export class Refused extends Error {
  constructor(status, sentence) {
    super(sentence);
    this.status = status;
  }
}

export const current = () => session;

export async function look() {
  const answer = await fetch("/api/session");
  if (!answer.ok) throw new Refused(answer.status, await sentence(answer));
  session = await answer.json();
  return session;
}

export async function logIn(username, password) {
  session = await send("POST", "/api/login", { username, password });
  return session;
}

export async function logOut() {
  await send("POST", "/api/logout", {});
  session = { ...session, user: null, csrf: "" };
}

export const get = (path, query = {}) => ask("GET", path + asked(query));
export const send = (method, path, body) => ask(method, path, body);

export function asked(query) {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== "" && one !== null && one !== undefined) given.append(name, one);
    }
  }
  const text = given.toString();
  return text ? `?${text}` : "";
}

export const fetched = (path, query = {}) => asking("GET", path + asked(query));

async function ask(method, path, body) {
  return (await asking(method, path, body)).json();
}

async function asking(method, path, body) {
  const headers = { accept: "application/json" };
  if (body !== undefined) headers["content-type"] = "application/json";
  if (session.csrf) headers["x-edge-csrf"] = session.csrf;
  let answer;
  try {
    answer = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new Refused(0, "the box does not answer");
  }
  if (answer.ok) return answer;
  if (answer.status === 401) window.dispatchEvent(new Event("edge:login"));
  throw new Refused(answer.status, await sentence(answer));
}

async function sentence(answer) {
  try {
    return (await answer.json()).error || answer.statusText;
  } catch {
    return `${answer.status} ${answer.statusText}`;
  }
}

export const part = encodeURIComponent;
