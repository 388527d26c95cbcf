// Notes what the SDK is seen to do: which method, over which route, and whether it was refused. Its public functions are
// replaced by ones that note the call and go on to it; `request` of the HTTP modules below it notes the requests.
import { AsyncLocalStorage } from "node:async_hooks";
import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { test } from "node:test";

const require = createRequire(import.meta.url);
const current = new AsyncLocalStorage();
const addresses = new Map();
const methods = [];
const kept = [];
let calls = [];

const note = (method) => {
  const call = { method, requests: [], outcome: null, message: "" };
  calls.push(call);
  return call;
};

const settle = (call, error) => {
  call.outcome = error ? "refused" : "works";
  call.message = String(error?.error?.message ?? error?.message ?? "");
};

/** A function that notes its call; calls inside of it are part of it. */
const noting = (name, original) =>
  function (...given) {
    if (current.getStore()) return original.apply(this, given);
    const call = note(name);
    return current.run(call, () => {
      let result;
      try {
        result = original.apply(this, given);
      } catch (error) {
        settle(call, error);
        throw error;
      }
      if (typeof result === "string" && result.startsWith("http")) addresses.set(result, name);
      if (typeof result?.then === "function") result.then((value) => settle(call, value?.error && value), (error) => settle(call, error));
      else call.outcome = "works";
      // What is written into a stream later belongs to the call that gave it.
      for (const name of typeof result?.pipe === "function" ? ["write", "end"] : []) {
        const own = result[name];
        result[name] = (...pieces) => current.run(call, () => own.apply(result, pieces));
      }
      return result;
    });
  };

const take = (title, object, names) => {
  for (const name of names) {
    if (typeof object[name] !== "function") continue;
    methods.push(`${title}.${name}`);
    object[name] = noting(`${title}.${name}`, object[name]);
  }
};

/** Notes every public method of the SDK from now on. */
export const install = (cloudinary) => {
  take("uploader", cloudinary.uploader, Object.keys(cloudinary.uploader));
  take("api", cloudinary.api, Object.keys(cloudinary.api));
  take("provisioning", cloudinary.provisioning.account, Object.keys(cloudinary.provisioning.account));
  take("utils", cloudinary.utils, Object.keys(cloudinary.utils).filter((name) => /download|api_url/.test(name)));
  for (const title of ["search", "search_folders"]) {
    // Its functions make an object whose own ones do the work.
    const prototype = Object.getPrototypeOf(cloudinary[title].expression(""));
    const names = new Set();
    for (let place = prototype; place !== Object.prototype; place = Object.getPrototypeOf(place)) {
      for (const name of Object.getOwnPropertyNames(place)) if (name !== "constructor") names.add(name);
    }
    take(title, prototype, [...names]);
  }
};

for (const name of ["http", "https"]) {
  const module = require(name);
  const request = module.request;
  module.request = function (...given) {
    const options = given.find((value) => typeof value === "object" && value !== null && !(value instanceof URL)) ?? {};
    const call = current.getStore();
    const sent = request.apply(this, given);
    call?.requests.push([options.method ?? "GET", `${sent.path}`]);
    return sent;
  };
}

/** To be told of every address that the suite fetches by itself. */
export const fetchedAddress = (url, status) => {
  if (!addresses.has(url)) return;
  const call = note(addresses.get(url));
  call.requests.push(["GET", url]);
  call.outcome = status < 400 ? "works" : "refused";
};

/** A test; only the calls of those that pass are kept. */
export const check = (name, body) =>
  test(name, async () => {
    calls = [];
    await body();
    // A result that came through a callback alone has no promise that says how it ended.
    kept.push(...calls.filter((call) => call.outcome));
  });

process.on("exit", () => {
  // Every file of tests is a process of its own.
  const folder = process.env.SUITE_RECORDS;
  if (folder && methods.length > 0) {
    writeFileSync(join(folder, `${process.pid}.json`), JSON.stringify({ methods: methods.sort(), calls: kept }));
  }
});
