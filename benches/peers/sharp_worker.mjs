// sharp as a library contender. One order a line on stdin: {"workload", "min_ms", "quality", "keep"}; one answer a line.
// node sharp_worker.mjs MODULES CORPUS LOGO: MODULES is the folder whose node_modules holds sharp.
// Every call reads from memory and writes to memory, on one thread, without a cache, as ours do.

import { createRequire } from "node:module";
import { readFileSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import path from "node:path";
import process from "node:process";

const [modules, corpus, logoPath] = process.argv.slice(2);
if (!modules || !corpus || !logoPath) {
  console.error("usage: node sharp_worker.mjs MODULES CORPUS LOGO");
  process.exit(2);
}
const sharp = createRequire(path.resolve(modules, "package.json"))("sharp");
sharp.concurrency(1);
sharp.cache(false);

const files = {};
const file = (name) => (files[name] ??= readFileSync(path.join(corpus, name)));
const logo = readFileSync(logoPath);

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
  const picture = sharp(file("photo_12mp.jpg"))
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
  return [await finish(picture).toBuffer()];
}

const inside = (name, size) => sharp(file(name)).resize(size, size, { fit: "inside" });
const widths = Array.from({ length: 10 }, (_, at) => 200 * (at + 1));

// Each answers with the pictures of one call.
const workloads = {
  W1: async () => [await inside("photo_12mp.jpg", 400).jpeg({ quality: 80 }).toBuffer()],
  W1w: async () => [await inside("webp_12mp.webp", 400).webp({ quality: 80 }).toBuffer()],
  W2j: () => w2([{ input: corners }], (picture) => picture.jpeg({ quality: 80 })),
  W2w: () => w2([{ input: kept, blend: "dest-in" }, { input: svg(ring) }], (picture) => picture.ensureAlpha().webp({ quality: 80 })),
  W3: async () => {
    const pictures = [];
    for (const width of widths) pictures.push(await sharp(file("photo_24mp.jpg")).resize(width).jpeg({ quality: 80 }).toBuffer());
    return pictures;
  },
  // Decoded once, at the scale that still covers the largest width, then resized ten times.
  W3once: async () => {
    const largest = await sharp(file("photo_24mp.jpg")).resize(3000).raw().toBuffer({ resolveWithObject: true });
    const { width, height, channels } = largest.info;
    const pictures = [];
    for (const to of widths) {
      pictures.push(await sharp(largest.data, { raw: { width, height, channels } }).resize(to).jpeg({ quality: 80 }).toBuffer());
    }
    return pictures;
  },
  // sharp's effort 3 is libaom's speed 6, effort 1 is speed 8.
  W4: async (quality) => [await sharp(file("photo_2mp.jpg")).resize(1200).avif({ quality, effort: 3, chromaSubsampling: "4:2:0" }).toBuffer()],
  W4fast: async (quality) => [await sharp(file("photo_2mp.jpg")).resize(1200).avif({ quality, effort: 1, chromaSubsampling: "4:2:0" }).toBuffer()],
  W5: async () => [await sharp(file("png_2mp.png")).resize(800).png().toBuffer()],
  W6: async () => [await inside("progressive_12mp.jpg", 400).jpeg({ quality: 80 }).toBuffer()],
  W8: async () => [await sharp(file("photo_2mp.jpg")).resize(800, 600, { fit: "cover" }).jpeg({ quality: 80 }).toBuffer()],
  W9: async () => [await inside("photo_2mp.jpg", 512).jpeg({ quality: 80 }).toBuffer()],
};

async function run({ workload, min_ms, quality, keep }) {
  const make = workloads[workload];
  if (!make) return { unsupported: true };
  const started = process.hrtime.bigint();
  const cpu = process.cpuUsage();
  let [n, wallMs, pictures] = [0, 0, []];
  do {
    pictures = await make(quality);
    n += 1;
    wallMs = Number(process.hrtime.bigint() - started) / 1e6;
  } while (wallMs < min_ms);
  const used = process.cpuUsage(cpu);
  // The middle one of several pictures stands for all of them.
  if (keep) writeFileSync(keep, pictures[pictures.length >> 1]);
  const bytes = pictures.reduce((sum, picture) => sum + picture.length, 0);
  return { wall_ms: wallMs / n, cpu_ms: (used.user + used.system) / 1e3 / n, bytes };
}

console.log(JSON.stringify({ name: "sharp", version: `sharp ${sharp.versions.sharp}, libvips ${sharp.versions.vips}` }));
for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await run(JSON.parse(line)).catch((error) => ({ error: String(error.message ?? error) }))));
}
