// The methods of the official Node SDK that `suite.mjs` leaves out: lists, relations, access, downloads, provisioning.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createReadStream, readFileSync } from "node:fs";
import { PICTURE, api, called, cloudinary, fetched, provisioning, refused, unique, uploader, utils } from "./common.mjs";
import { check } from "./recording.mjs";

const { search_folders } = cloudinary;
const md5 = (bytes) => createHash("md5").update(bytes).digest("hex");
const ids = (listed) => listed.resources.map((entry) => entry.public_id).sort();

/** Uploads so many pictures; gives what the server answered. */
const kept = async (id, count, options = {}) => {
  const answers = [];
  for (let place = 0; place < count; place += 1) answers.push(await uploader.upload(PICTURE, { public_id: `${id}/${place}`, ...options }));
  return answers;
};

check("ping, config, usage, types", async () => {
  const ping = await api.ping();
  assert.equal(ping.status, "ok");
  assert.ok(Number.isInteger(ping.rate_limit_allowed) && Number.isInteger(ping.rate_limit_remaining) && ping.rate_limit_remaining > 0);
  assert.ok(ping.rate_limit_reset_at instanceof Date && !Number.isNaN(ping.rate_limit_reset_at.valueOf()));
  assert.equal((await api.config({ settings: true })).settings.folder_mode, "dynamic");
  assert.equal((await api.config()).settings, undefined);
  const usage = await api.usage();
  for (const name of ["plan", "transformations", "objects", "bandwidth", "storage", "requests", "resources", "media_limits"]) assert.ok(name in usage, name);
  assert.deepEqual((await api.resource_types()).resource_types.sort(), ["image", "raw", "video"]);
});

check("streams and parts", async () => {
  const id = unique();
  const preset = (await api.create_upload_preset({ name: `p${id}`, unsigned: true })).name;
  const streamed = await called((done) => createReadStream(PICTURE).pipe(uploader.unsigned_upload_stream(preset, { public_id: id }, done)));
  assert.equal(streamed.etag, md5(readFileSync(PICTURE)));
  await api.delete_upload_preset(preset);
  const parts = await called((done) => uploader.upload_chunked(PICTURE, { public_id: `${id}-chunked`, chunk_size: 6_000_000, resource_type: "image" }, done));
  assert.equal(parts.etag, streamed.etag);
  const piped = await called((done) => createReadStream(PICTURE).pipe(uploader.upload_chunked_stream({ public_id: `${id}-piped`, resource_type: "image" }, done)));
  assert.deepEqual([piped.width, piped.etag], [512, streamed.etag]);
});

check("lists of every kind, with chosen fields", async () => {
  const id = unique();
  const made = await kept(id, 3, { tags: [id], context: { [id]: "one" }, moderation: "manual", asset_folder: `${id}/in` });
  await api.update(`${id}/0`, { moderation_status: "approved" });
  const approved = await api.resources_by_moderation("manual", "approved", { max_results: 500, moderations: true });
  assert.deepEqual(ids(approved).filter((name) => name.startsWith(id)), [`${id}/0`]);
  await uploader.add_context({ [id]: "two" }, [`${id}/2`]);
  assert.deepEqual(ids(await api.resources_by_context(id, "two")), [`${id}/2`]);
  assert.equal((await api.resources_by_context(id)).resources.length, 3);
  assert.deepEqual(ids(await api.resources_by_asset_ids(made.map((entry) => entry.asset_id))), [`${id}/0`, `${id}/1`, `${id}/2`]);
  const inside = await api.resources_by_asset_folder(`${id}/in`, { max_results: 2, tags: true });
  assert.deepEqual([inside.total_count, inside.resources.length, inside.resources[0].tags], [3, 2, [id]]);
  const chosen = (await api.resources_by_ids([`${id}/0`], { fields: ["tags", "context"] })).resources[0];
  assert.deepEqual(Object.keys(chosen).sort(), ["asset_folder", "asset_id", "context", "public_id", "tags"]);
});

check("deletions", async () => {
  const id = unique();
  const made = await kept(id, 3, { tags: [id], eager: [{ width: 21, crop: "scale" }, { width: 22, crop: "scale" }] });
  const name = `${id}/0`;
  const derived = (await api.resource(name)).derived;
  assert.equal(derived.length, 2);
  const gone = await api.delete_derived_by_transformation([name], { width: 21, crop: "scale" });
  assert.deepEqual(gone.deleted_counts[name], { original: 0, derived: 1 });
  const left = (await api.resource(name)).derived;
  assert.deepEqual(left.map((entry) => entry.transformation), ["c_scale,w_22"]);
  assert.deepEqual((await api.delete_derived_resources([left[0].id])).deleted, { [left[0].id]: "deleted" });
  assert.deepEqual((await api.delete_resources_by_asset_ids([made[0].asset_id])).deleted, { [made[0].asset_id]: "deleted" });
  assert.equal((await refused(api.resource(name))).http_code, 404);
  await api.delete_resources_by_tag(id);
  assert.equal((await refused(api.resource(`${id}/1`))).http_code, 404);
  // A type of its own, because the other tests share this cloud.
  await uploader.upload(PICTURE, { public_id: `${id}-all`, type: "authenticated" });
  assert.equal((await api.delete_all_resources({ type: "authenticated" })).deleted[`${id}-all`], "deleted");
  assert.deepEqual((await api.resources({ type: "authenticated" })).resources, []);
});

check("kept versions", async () => {
  const id = unique();
  const first = await uploader.upload(PICTURE, { public_id: id, backup: true });
  const small = await fetched(cloudinary.url(id, { width: 20, crop: "scale", format: "png" }));
  const second = await uploader.upload(`data:image/png;base64,${small.body.toString("base64")}`, { public_id: id, backup: true });
  assert.equal((await api.resource(id)).versions, undefined);
  assert.equal((await api.resource(id, { versions: true })).versions.length, 2);
  const old = await fetched(utils.download_backedup_asset(first.asset_id, first.version_id));
  assert.deepEqual([old.status, md5(old.body)], [200, first.etag]);
  await api.delete_resources([id]);
  const placeholder = await api.resource(id);
  assert.deepEqual([placeholder.placeholder, placeholder.bytes], [true, 0]);
  assert.equal((await api.restore([id], { versions: [first.version_id] }))[id].etag, first.etag);
  await api.delete_resources([id]);
  assert.equal((await api.restore_by_asset_ids([second.asset_id]))[second.asset_id].public_id, id);
  const deleted = await api.delete_backed_up_assets(first.asset_id, [second.version_id]);
  assert.deepEqual(deleted.deleted_version_ids, [second.version_id]);
  const versions = (await api.resource(id, { versions: true })).versions.map((entry) => entry.version_id);
  assert.ok(!versions.includes(second.version_id), versions);
});

check("relations", async () => {
  const id = unique();
  const [one, two] = await kept(id, 2);
  const related = await api.add_related_assets(one.public_id, [`image/upload/${two.public_id}`, `image/upload/${id}/nope`]);
  assert.deepEqual([related.success[0].code, related.failed[0].code], ["success_ids", "non_existing_ids"]);
  assert.equal((await api.resource(two.public_id, { related: true })).related_assets[0].asset_id, one.asset_id);
  const parted = await api.delete_related_assets(one.public_id, [`image/upload/${two.public_id}`]);
  assert.equal(parted.success[0].status, 200);
  assert.equal((await api.add_related_assets_by_asset_id(one.asset_id, [two.asset_id])).success[0].asset, two.asset_id);
  assert.equal((await api.delete_related_assets_by_asset_id(one.asset_id, [two.asset_id])).success[0].asset, two.asset_id);
  assert.equal((await api.resource(one.public_id, { related: true })).related_assets?.length ?? 0, 0);
});

check("publishing and modes of access", async () => {
  const id = unique();
  for (const place of [0, 1, 2]) await uploader.upload(PICTURE, { public_id: `${id}/${place}`, type: "private", tags: [`${id}-${place}`] });
  assert.deepEqual((await api.publish_by_ids([`${id}/0`], { type: "authenticated" })).published, []);
  const published = (await api.publish_by_ids([`${id}/0`])).published;
  assert.ok(published[0].url.includes("/upload/"), published[0].url);
  assert.equal((await api.publish_by_prefix(`${id}/1`)).published[0].public_id, `${id}/1`);
  assert.equal((await api.publish_by_tag(`${id}-2`)).published[0].public_id, `${id}/2`);
  assert.equal((await api.update_resources_access_mode_by_prefix("authenticated", `${id}/0`)).updated[0].public_id, `${id}/0`);
  assert.equal((await api.update_resources_access_mode_by_tag("authenticated", `${id}-1`)).updated[0].access_mode, "authenticated");
  assert.equal((await fetched(cloudinary.url(`${id}/1`, { format: "png" }))).status, 401);
  await api.update_resources_access_mode_by_ids("public", [`${id}/1`]);
  assert.equal((await api.resource(`${id}/1`)).access_mode, "public");
});

check("definitions in their order and in lists", async () => {
  const id = unique();
  const names = ["c", "a", "b"].map((letter) => `${letter}${id}`);
  for (const name of names) await api.add_metadata_field({ external_id: name, label: name, type: "string" });
  const mine = (fields) => fields.metadata_fields.map((field) => field.external_id).filter((name) => names.includes(name));
  assert.deepEqual(mine(await api.reorder_metadata_fields("label", "asc")), [...names].sort());
  assert.deepEqual(mine(await api.reorder_metadata_fields("external_id", "desc")), [...names].sort().reverse());
  for (const name of names) assert.equal((await api.delete_metadata_field(name)).message, "ok");
  const values = ["y", "z", "x"].map((name) => ({ external_id: name, value: name }));
  await api.add_metadata_field({ external_id: id, label: id, type: "set", datasource: { values } });
  const ordered = await api.order_metadata_field_datasource(id, "value", "desc");
  assert.deepEqual(ordered.values.map((entry) => entry.value), ["z", "y", "x"]);
  await api.delete_metadata_field(id);
  await api.create_transformation(id, { width: 31, crop: "scale" });
  const listed = await api.transformations({ max_results: 500, named: true });
  assert.ok(listed.transformations.some((entry) => entry.name === `t_${id}` && entry.named && !entry.used));
  await api.delete_transformation(id);
  await api.create_upload_mapping(id, { template: "https://example.com/" });
  assert.ok((await api.upload_mappings({ max_results: 500 })).mappings.some((entry) => entry.folder === id));
  await api.delete_upload_mapping(id);
  assert.equal((await refused(api.upload_mapping(id))).http_code, 404);
  await api.create_streaming_profile(id, { representations: [{ transformation: { crop: "scale", width: 1200 } }] });
  await api.update_streaming_profile(id, { representations: [{ transformation: { crop: "limit", height: 90 } }] });
  const profile = (await api.get_streaming_profile(id)).data;
  assert.deepEqual(profile.representations, [{ transformation: [{ crop: "limit", height: 90 }] }]);
  await api.delete_streaming_profile(id);
  await uploader.upload(PICTURE, { public_id: id, tags: ["a", "b"] });
  await uploader.remove_tag("a", [id]);
  assert.deepEqual((await api.resource(id)).tags, ["b"]);
});

check("archives, sprites and animations by address", async () => {
  const id = unique();
  await kept(id, 2, { tags: [id], asset_folder: id });
  const made = await uploader.create_archive({ tags: [id], target_format: "zip", target_public_id: `${id}-zip` });
  const keys = ["resource_type", "type", "public_id", "version", "url", "secure_url", "created_at", "tags", "signature", "bytes", "etag", "resource_count", "file_count"];
  for (const key of keys) assert.ok(key in made, key);
  const addresses = [
    utils.download_archive_url({ tags: [id] }), utils.zip_download_url(id), utils.download_folder(id, { resource_type: "image" }),
  ];
  for (const address of addresses) {
    const zip = await fetched(address);
    assert.deepEqual([zip.status, zip.body.subarray(0, 2).toString()], [200, "PK"], address);
  }
  const sprite = await fetched(uploader.download_generated_sprite(id, { width: 40, crop: "scale" }));
  assert.deepEqual([sprite.status, sprite.headers["content-type"]], [200, "image/png"], sprite.headers["x-cld-error"]);
  const animation = await fetched(uploader.download_multi(id, { width: 40, crop: "scale" }));
  assert.equal(animation.body.subarray(0, 3).toString(), "GIF");
  const folders = await search_folders.expression(`name=${id}`).max_results(1).execute();
  assert.deepEqual([folders.total_count, folders.folders[0].path], [1, id]);
  assert.equal((await api.search({ expression: `tags=${id}`, max_results: 1 })).total_count, 2);
  assert.equal((await api.search_folders({ expression: `name=${id}` })).folders[0].name, id);
});

check("sub accounts and their keys", async () => {
  const id = unique();
  const shop = await provisioning.create_sub_account(`Shop ${id}`, id, { owner: "me" }, true);
  assert.deepEqual([shop.cloud_name, shop.enabled, shop.custom_attributes], [id, true, { owner: "me" }]);
  assert.equal((await provisioning.sub_account(shop.id)).name, `Shop ${id}`);
  assert.equal((await provisioning.sub_accounts(true, [], `Shop ${id}`)).sub_accounts.length, 1);
  assert.equal((await provisioning.update_sub_account(shop.id, `Renamed ${id}`)).name, `Renamed ${id}`);
  const made = await provisioning.generate_access_key(shop.id, { name: "second", enabled: true });
  const pair = { cloud_name: id, api_key: made.api_key, api_secret: made.api_secret };
  assert.equal((await api.ping(pair)).status, "ok");
  assert.equal((await provisioning.access_keys(shop.id)).total, 2);
  assert.equal((await provisioning.update_access_key(shop.id, made.api_key, { enabled: false })).enabled, false);
  assert.equal((await refused(api.ping(pair))).http_code, 401);
  assert.equal((await provisioning.delete_access_key(shop.id, made.api_key)).message, "ok");
  await provisioning.generate_access_key(shop.id, { name: "third" });
  assert.equal((await provisioning.delete_access_key_by_name(shop.id, { name: "third" })).message, "ok");
  assert.equal((await provisioning.access_keys(shop.id)).total, 1);
  assert.equal((await provisioning.delete_sub_account(shop.id)).message, "ok");
  assert.equal((await refused(provisioning.sub_account(shop.id))).http_code, 404);
});

check("what is not built says so", async () => {
  const id = unique();
  await uploader.upload(PICTURE, { public_id: id });
  const rule = { metadata_field_id: "a", name: "r", condition: {}, result: { enable: true } };
  const calls = [
    () => uploader.explode(id, { page: "all" }), () => api.visual_search({ text: "a cat" }),
    () => api.list_metadata_rules(), () => api.add_metadata_rule(rule), () => api.update_metadata_rule("r", rule), () => api.delete_metadata_rule("r"),
  ];
  for (const call of calls) assert.match((await refused(call())).message, /not supported/, `${call}`);
  const users = [
    () => provisioning.users(), () => provisioning.user("u"), () => provisioning.create_user("a", "a@example.com", "admin"),
    () => provisioning.update_user("u", "b"), () => provisioning.delete_user("u"), () => provisioning.user_groups(), () => provisioning.user_group("g"),
    () => provisioning.create_user_group("g"), () => provisioning.update_user_group("g", "h"), () => provisioning.delete_user_group("g"),
    () => provisioning.add_user_to_group("g", "u"), () => provisioning.remove_user_from_group("g", "u"), () => provisioning.user_group_users("g"),
  ];
  for (const call of users) {
    const error = await refused(call());
    assert.deepEqual([error.http_code, /no users/.test(error.message)], [403, true], `${call}`);
  }
});
