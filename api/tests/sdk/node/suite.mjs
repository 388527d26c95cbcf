// The official Node SDK as applications use it, against the server of CLOUDINARY_URL. Each test keeps to ids of its own.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { createReadStream, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PICTURE, api, cloudinary, fetched, provisioning, refused, search, size, unique, uploader } from "./common.mjs";
import { check } from "./recording.mjs";

check("configuration alone points it here", async () => {
  assert.equal((await api.ping()).status, "ok");
  assert.ok(cloudinary.config().upload_prefix.startsWith("https://"));
});

check("uploads of every form, and delivery", async () => {
  const id = unique();
  const made = await uploader.upload(PICTURE, { public_id: id, tags: ["a", "b"], context: { alt: "x=y" }, eager: [{ width: 20, crop: "scale" }] });
  assert.equal(made.public_id, id);
  assert.deepEqual([made.tags, made.eager.length], [["a", "b"], 1]);
  const file = readFileSync(PICTURE);
  const data = await uploader.upload(`data:image/png;base64,${file.toString("base64")}`, { public_id: `${id}-data` });
  assert.equal(data.bytes, file.length);
  const streamed = await new Promise((resolve, reject) => {
    const target = uploader.upload_stream({ public_id: `${id}-stream` }, (error, result) => (error ? reject(error) : resolve(result)));
    createReadStream(PICTURE).pipe(target);
  });
  assert.equal(streamed.etag, data.etag);
  const url = cloudinary.url(id, { width: 60, height: 40, crop: "fill", format: "png" });
  assert.ok(url.startsWith("https://"), url);
  const answer = await fetched(url);
  assert.deepEqual([answer.status, size(answer.body)], [200, [60, 40]], answer.headers["x-cld-error"]);
  const signed = cloudinary.url(id, { width: 61, crop: "scale", format: "png", sign_url: true });
  assert.equal((await fetched(signed)).status, 200);
  const remote = await uploader.upload(url, { public_id: `${id}-remote` });
  assert.deepEqual([remote.width, remote.height], [60, 40]);
});

check("large files in parts", async () => {
  const id = unique();
  const path = join(tmpdir(), `${id}.bin`);
  const bytes = randomBytes(11_000_000);
  writeFileSync(path, bytes);
  const made = await new Promise((resolve, reject) => {
    uploader.upload_large(path, { public_id: id, resource_type: "raw", chunk_size: 5_242_880 }, (error, result) => (error ? reject(error) : resolve(result)));
  });
  assert.equal(made.bytes, bytes.length);
  const answer = await fetched(cloudinary.url(id, { resource_type: "raw" }));
  assert.ok(answer.body.equals(bytes));
});

check("explicit, rename, destroy", async () => {
  const id = unique();
  await uploader.upload(PICTURE, { public_id: id });
  const explicit = await uploader.explicit(id, { type: "upload", tags: "t", eager: [{ width: 11, crop: "scale" }] });
  assert.equal(explicit.eager[0].width, 11);
  const renamed = await uploader.rename(id, `${id}/moved`);
  assert.equal(renamed.public_id, `${id}/moved`);
  assert.equal((await refused(uploader.rename(id, "x"))).http_code, 404);
  assert.equal((await uploader.destroy(`${id}/moved`, { invalidate: true })).result, "ok");
  assert.equal((await uploader.destroy(`${id}/moved`)).result, "not found");
});

check("tags, context and structured metadata", async () => {
  const id = unique();
  await uploader.upload(PICTURE, { public_id: id });
  assert.deepEqual((await uploader.add_tag(`${id}-t`, [id])).public_ids, [id]);
  await uploader.replace_tag("other", [id]);
  await uploader.add_context({ alt: "a|b=c" }, [id]);
  const field = await api.add_metadata_field({
    external_id: `f${id}`, type: "enum", label: `F ${id}`, datasource: { values: [{ external_id: "one", value: "One" }] },
  });
  assert.equal(field.external_id, `f${id}`);
  await uploader.update_metadata({ [`f${id}`]: "one" }, [id]);
  const found = await api.resource(id);
  assert.deepEqual([found.tags, found.context.custom.alt, found.metadata], [["other"], "a|b=c", { [`f${id}`]: "one" }]);
  await uploader.remove_all_tags([id]);
  await uploader.remove_all_context([id]);
  await api.update_metadata_field_datasource(`f${id}`, { values: [{ external_id: "two", value: "Two" }] });
  assert.equal((await api.metadata_field_by_field_id(`f${id}`)).datasource.values.length, 2);
  await api.delete_datasource_entries(`f${id}`, ["two"]);
  await api.restore_metadata_field_datasource(`f${id}`, ["two"]);
  assert.equal((await api.update_metadata_field(`f${id}`, { label: `G ${id}` })).label, `G ${id}`);
  assert.ok((await api.list_metadata_fields()).metadata_fields.some((entry) => entry.external_id === `f${id}`));
  await api.delete_metadata_field(`f${id}`);
});

check("lists with cursors, details, update", async () => {
  const id = unique();
  for (const place of [0, 1, 2]) await uploader.upload(PICTURE, { public_id: `${id}/${place} (1)`, tags: [id] });
  const first = await api.resources({ type: "upload", prefix: id, max_results: 2 });
  const second = await api.resources({ type: "upload", prefix: id, max_results: 2, next_cursor: first.next_cursor });
  assert.deepEqual([first.resources.length, second.resources.length, second.next_cursor], [2, 1, undefined]);
  assert.equal((await api.resources_by_tag(id)).resources.length, 3);
  assert.equal((await api.resources_by_ids([`${id}/0 (1)`])).resources.length, 1);
  assert.ok((await api.tags({ prefix: id })).tags.includes(id));
  const details = await api.resource(`${id}/0 (1)`, { colors: true, phash: true });
  assert.ok(details.colors.length > 0 && details.phash.length === 16);
  const updated = await api.update(`${id}/0 (1)`, { tags: "new", context: { k: "v" } });
  assert.deepEqual(updated.tags, ["new"]);
  const byAsset = await api.resource_by_asset_id(details.asset_id);
  assert.equal(byAsset.public_id, `${id}/0 (1)`);
  const deleted = await api.delete_resources([`${id}/0 (1)`, `${id}/nope`]);
  assert.deepEqual(Object.values(deleted.deleted).sort(), ["deleted", "not_found"]);
  assert.equal((await api.delete_resources_by_prefix(`${id}/`)).deleted[`${id}/1 (1)`], "deleted");
  assert.equal((await refused(api.resource(`${id}/1 (1)`))).http_code, 404);
});

check("search and its signed address", async () => {
  const id = unique();
  await uploader.upload(PICTURE, { public_id: id, tags: [id, "searched"] });
  const found = await search.expression(`tags=${id} AND width>1`).sort_by("created_at", "desc").with_field("tags").max_results(10).execute();
  assert.deepEqual([found.total_count, found.resources[0].public_id], [1, id]);
  const url = cloudinary.search.expression(`tags=${id}`).max_results(5).to_url(600);
  const listed = await fetched(url);
  assert.equal(JSON.parse(listed.body).resources.length, 1, `${listed.status}`);
  assert.equal((await refused(search.expression("tags=(").execute())).http_code, 400);
});

check("folders, transformations, presets, mappings, profiles", async () => {
  const id = unique();
  await api.create_folder(`${id}/inner`);
  assert.equal((await api.sub_folders(id)).folders[0].name, "inner");
  assert.ok((await api.root_folders()).folders.some((folder) => folder.name === id));
  await api.rename_folder(`${id}/inner`, `${id}/other`);
  await api.delete_folder(`${id}/other`);
  await api.create_transformation(`named${id}`, { width: 30, height: 20, crop: "fill" });
  await uploader.upload(PICTURE, { public_id: id });
  const answer = await fetched(cloudinary.url(id, { transformation: [`named${id}`], format: "png" }));
  assert.deepEqual(size(answer.body), [30, 20]);
  await api.update_transformation(`named${id}`, { allowed_for_strict: true });
  assert.equal((await api.transformation(`named${id}`)).allowed_for_strict, true);
  await api.delete_transformation(`named${id}`);
  await api.create_upload_preset({ name: `p${id}`, unsigned: true, tags: ["preset"], folder: `in${id}` });
  assert.equal((await api.upload_preset(`p${id}`)).settings.folder, `in${id}`);
  const unsigned = await uploader.unsigned_upload(PICTURE, `p${id}`);
  assert.ok(unsigned.public_id.startsWith(`in${id}/`) || unsigned.asset_folder === `in${id}`, unsigned.public_id);
  await api.update_upload_preset(`p${id}`, { unsigned: false });
  assert.ok((await refused(uploader.unsigned_upload(PICTURE, `p${id}`))).message.includes("preset"));
  assert.ok((await api.upload_presets()).presets.some((preset) => preset.name === `p${id}`));
  await api.delete_upload_preset(`p${id}`);
  await api.create_upload_mapping(`m${id}`, { template: "https://example.com/" });
  assert.equal((await api.upload_mapping(`m${id}`)).template, "https://example.com/");
  await api.update_upload_mapping(`m${id}`, { template: "https://example.org/" });
  await api.delete_upload_mapping(`m${id}`);
  await api.create_streaming_profile(`s${id}`, { representations: [{ transformation: { crop: "scale", width: 1200 } }] });
  assert.equal((await api.get_streaming_profile(`s${id}`)).data.name, `s${id}`);
  assert.ok((await api.list_streaming_profiles()).data.length > 1);
  await api.delete_streaming_profile(`s${id}`);
});

check("archives and signed downloads", async () => {
  const id = unique();
  await uploader.upload(PICTURE, { public_id: id, tags: [id] });
  const made = await uploader.create_zip({ tags: [id], target_public_id: `${id}-zip` });
  assert.equal(made.file_count, 1);
  const zip = await fetched(cloudinary.utils.download_zip_url({ tags: [id] }));
  assert.deepEqual([zip.status, zip.body.subarray(0, 2).toString()], [200, "PK"]);
  await uploader.upload(PICTURE, { public_id: `${id}-private`, type: "private" });
  const original = await fetched(cloudinary.utils.private_download_url(`${id}-private`, "png", { type: "private" }));
  assert.ok(original.body.equals(readFileSync(PICTURE)), `${original.status}`);
});

check("texts, sprites, animations, access", async () => {
  const id = unique();
  const text = await uploader.text("Tintype", { public_id: `${id}-text`, font_family: "Arial", font_size: 30, font_color: "#336699" });
  assert.ok(text.width > text.height);
  for (const place of [0, 1]) await uploader.upload(PICTURE, { public_id: `${id}-${place}`, tags: [id] });
  const sprite = await uploader.generate_sprite(id, { width: 50, height: 50, crop: "fill" });
  assert.equal(Object.keys(sprite.image_infos).length, 2);
  const multi = await uploader.multi(id, { width: 40, crop: "scale", format: "gif" });
  assert.equal((await fetched(multi.secure_url)).body.subarray(0, 3).toString(), "GIF");
  assert.equal((await fetched(uploader.download_multi(id, { width: 30 }))).body.subarray(0, 3).toString(), "GIF");
  const file = `data:image/gif;base64,${(await fetched(multi.secure_url)).body.toString("base64")}`;
  assert.equal((await uploader.upload(file, { public_id: `${id}-film` })).pages, 2);
  assert.equal((await uploader.explode(`${id}-film`, { page: "all" })).status, "processing");
  await api.update_resources_access_mode_by_ids("authenticated", [`${id}-0`]);
  assert.equal((await api.resource(`${id}-0`)).access_mode, "authenticated");
});

check("errors have the shape that the SDK knows", async () => {
  const wrong = await refused(uploader.upload(PICTURE, { api_secret: "wrong" }));
  assert.equal(wrong.http_code, 401);
  assert.ok(wrong.message.startsWith("Invalid Signature"), wrong.message);
  assert.equal((await refused(uploader.upload("data:image/png;base64,AAAA"))).http_code, 400);
  assert.equal((await refused(api.resource("no/such/thing"))).message, "Resource not found - no/such/thing");
  assert.ok(provisioning, "the SDK has a provisioning part");
});
