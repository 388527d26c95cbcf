// What the suites of the Node SDK share: the SDK itself with its calls noted, and ways to look at answers.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { get as getPlain } from "node:http";
import { get as getEncrypted } from "node:https";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fetchedAddress, install } from "./recording.mjs";

// The package lies beside the other tools, not beside this file.
export const { v2: cloudinary } = createRequire(join(process.env.NODE_PACKAGES, "x.js"))("cloudinary");
assert.ok(cloudinary.config().cloud_name, "CLOUDINARY_URL is not set");
install(cloudinary);

export const { api, uploader, search, utils } = cloudinary;
export const provisioning = cloudinary.provisioning.account;
export const PICTURE = process.env.SUITE_PICTURE;
export const unique = () => `n${randomBytes(6).toString("hex")}`;

/** Status, headers and body of an address. */
export const fetched = (url) =>
  new Promise((resolve, reject) => {
    const get = url.startsWith("https:") ? getEncrypted : getPlain;
    get(url, (response) => {
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("end", () => {
        fetchedAddress(url, response.statusCode);
        resolve({ status: response.statusCode, headers: response.headers, body: Buffer.concat(chunks) });
      });
    }).on("error", reject);
  });

/** What the SDK rejects with. */
export const refused = async (call) => {
  try {
    await call;
  } catch (error) {
    return error.error ?? error;
  }
  return assert.fail("nothing was refused");
};

/** The result of a function of the SDK that has a callback and no promise. */
export const called = (start) =>
  new Promise((resolve, reject) => {
    start((error, result) => (error ? reject(error) : resolve(result)));
  });

/** Width and height of a PNG. */
export const size = (png) => [png.readUInt32BE(16), png.readUInt32BE(20)];
