// W1 and W2 by sharp, one JSON line for every workload and round: node sharp.mjs CORPUS LOGO ROUNDS
// CORPUS holds photo_12mp.jpg; every call reads from memory and writes to memory, on one thread, as ours do.

import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import path from "node:path";
import process from "node:process";

const [corpus, logoPath, roundsText] = process.argv.slice(2);
const rounds = Number(roundsText);
if (!corpus || !logoPath || !Number.isInteger(rounds) || rounds < 1) {
  console.error("usage: node sharp.mjs CORPUS LOGO ROUNDS");
  process.exit(2);
}
// The package lies beside the other tools, not beside this file.
const sharp = createRequire(path.resolve(".tools/peers/package.json"))("sharp");
sharp.concurrency(1);
sharp.cache(false);

const photo = readFileSync(path.join(corpus, "photo_12mp.jpg"));
const logo = readFileSync(logoPath);
const roundMs = 120;

const [width, height, radius, border] = [400, 350, 20, 5];
const [outerWidth, outerHeight] = [width + 2 * border, height + 2 * border];
// Everything outside of the rounded corners becomes clear, and a ring of the border's width black.
const mask = Buffer.from(
  `<svg width="${width}" height="${height}"><rect width="${width}" height="${height}" rx="${radius}"/></svg>`,
);
const ring = Buffer.from(
  `<svg width="${outerWidth}" height="${outerHeight}"><rect x="${border / 2}" y="${border / 2}" ` +
    `width="${outerWidth - border}" height="${outerHeight - border}" rx="${radius + border / 2}" ` +
    `fill="none" stroke="black" stroke-width="${border}"/></svg>`,
);

async function framed() {
  const logoWidth = Math.round(outerWidth * 0.25);
  const [cut, mark] = await Promise.all([
    sharp(photo)
      .resize(width, height, { fit: "cover" })
      .ensureAlpha()
      .composite([{ input: mask, blend: "dest-in" }])
      .raw()
      .toBuffer(),
    sharp(logo).resize(logoWidth).ensureAlpha().linear([1, 1, 1, 0.5], [0, 0, 0, 0]).png().toBuffer(),
  ]);
  return sharp(cut, { raw: { width, height, channels: 4 } })
    .extend({ top: border, bottom: border, left: border, right: border, background: { r: 0, g: 0, b: 0, alpha: 0 } })
    .composite([
      { input: ring, left: 0, top: 0 },
      { input: mark, left: outerWidth - logoWidth - 10, top: 10 },
    ])
    .raw()
    .toBuffer({ resolveWithObject: true });
}

async function w2(finish) {
  const { data, info } = await framed();
  return finish(sharp(data, { raw: { width: info.width, height: info.height, channels: info.channels } })).toBuffer();
}

const workloads = {
  W1: () => sharp(photo).resize(400, 400, { fit: "inside" }).jpeg({ quality: 80 }).toBuffer(),
  W2j: () => w2((picture) => picture.flatten({ background: "white" }).jpeg({ quality: 80 })),
  W2w: () => w2((picture) => picture.webp({ quality: 80 })),
};

async function round(name, number) {
  const make = workloads[name];
  const started = process.hrtime.bigint();
  const cpu = process.cpuUsage();
  let n = 0;
  let bytes = 0;
  let wallMs = 0;
  do {
    bytes = (await make()).length;
    n += 1;
    wallMs = Number(process.hrtime.bigint() - started) / 1e6;
  } while (wallMs < roundMs);
  const used = process.cpuUsage(cpu);
  const { size } = await sharp(await make()).metadata().then((found) => ({ size: `${found.width}x${found.height}` }));
  const line = { peer: `sharp ${sharp.versions.sharp ?? ""}`.trim(), workload: name, round: number, size, bytes };
  line.wall_ms = wallMs / n;
  line.cpu_ms = (used.user + used.system) / 1e3 / n;
  line.peak_bytes = process.resourceUsage().maxRSS * 1024;
  console.log(JSON.stringify(line));
}

const names = Object.keys(workloads);
for (const name of names) await workloads[name]();
for (let number = 0; number < rounds; number += 1) {
  for (let at = 0; at < names.length; at += 1) await round(names[(at + number) % names.length], number);
}
