// W1 and W2 by sharp, one JSON line for every workload and round: node sharp.mjs CORPUS LOGO ROUNDS
// CORPUS holds photo_12mp.jpg; every call reads from memory and writes to memory, on one thread, as ours do. With SHARP_KEEP=FOLDER the pictures are written there, to be looked at.

import { createRequire } from "node:module";
import { readFileSync, writeFileSync } from "node:fs";
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
const svg = (inside) => Buffer.from(`<svg width="${outerWidth}" height="${outerHeight}">${inside}</svg>`);
const rounded = (inset, rx, style) =>
  `<rect x="${inset}" y="${inset}" width="${outerWidth - 2 * inset}" height="${outerHeight - 2 * inset}" rx="${rx}" ${style}/>`;
const ring = rounded(border / 2, radius + border / 2, `fill="none" stroke="black" stroke-width="${border}"`);
// Where the corners are clear: what lies inside of the border's middle is kept.
const kept = svg(rounded(border / 2, radius + border / 2, ""));
// Where they are white: a thick white stroke around the outside, under the ring.
const reach = 4 * radius;
const corners = svg(rounded(-reach / 2, radius + border + reach / 2, `fill="none" stroke="white" stroke-width="${reach}"`) + ring);

// One pipeline, in the order in which sharp works: resize, extend, composite, encode.
async function w2(decorate, finish) {
  const logoWidth = Math.round(outerWidth * 0.25);
  const mark = await sharp(logo).resize(logoWidth).ensureAlpha().linear([1, 1, 1, 0.5], [0, 0, 0, 0]).raw().toBuffer({ resolveWithObject: true });
  const { width: markWidth, height: markHeight, channels } = mark.info;
  const picture = sharp(photo)
    .resize(width, height, { fit: "cover" })
    .extend({ top: border, bottom: border, left: border, right: border, background: "black" })
    .composite([
      ...decorate,
      {
        input: mark.data,
        raw: { width: markWidth, height: markHeight, channels },
        left: outerWidth - markWidth - 10,
        top: 10,
      },
    ]);
  return finish(picture).toBuffer();
}

const workloads = {
  W1: () => sharp(photo).resize(400, 400, { fit: "inside" }).jpeg({ quality: 80 }).toBuffer(),
  W2j: () => w2([{ input: corners }], (picture) => picture.jpeg({ quality: 80 })),
  W2w: () => w2([{ input: kept, blend: "dest-in" }, { input: svg(ring) }], (picture) => picture.ensureAlpha().webp({ quality: 80 })),
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
  if (process.env.SHARP_KEEP) writeFileSync(path.join(process.env.SHARP_KEEP, name), await make());
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
