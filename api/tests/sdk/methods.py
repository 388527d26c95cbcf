"""The official `cloudinary` package's methods for assets, one by one: lists, relations, access, archives, downloads."""

import hashlib
import io
import time
import zipfile

import cloudinary
import cloudinary.api
import cloudinary.exceptions
import cloudinary.uploader
import cloudinary.utils

api, uploader, utils = cloudinary.api, cloudinary.uploader, cloudinary.utils


class Assets:
    """Mixed into a test case that has a server and `self.id`, a name of its own."""

    def kept(self, count=1, **options):
        """Uploads so many pictures; gives what the server answered."""
        return [self.upload(str(self.jpg), public_id=f"{self.id}/{place}", **options) for place in range(count)]

    def ids(self, listed):
        return sorted(entry["public_id"] for entry in listed["resources"])

    def zipped(self, url):
        """Names of the files of an archive at an address."""
        response = self.fetch(url)
        self.assertEqual(response.headers["Content-Type"], "application/zip")
        with zipfile.ZipFile(io.BytesIO(response.data)) as archive:
            self.assertIsNone(archive.testzip())
            return sorted(archive.namelist())

    def test_names_of_uploads(self):
        image = uploader.upload_image(str(self.jpg), public_id=f"{self.id}-image")
        self.assertIsInstance(image, cloudinary.CloudinaryImage)
        self.assertEqual((image.public_id, image.metadata["width"]), (f"{self.id}-image", 512))
        self.fetch(image.url)
        resource = uploader.upload_resource(str(self.jpg), public_id=f"{self.id}-resource")
        self.assertEqual(resource.public_id, f"{self.id}-resource")
        self.assertEqual(sorted(api.resource_types()["resource_types"]), ["image", "raw", "video"])

    def test_lists_by_state(self):
        self.kept(3, tags=[self.id], context={self.id: "one"}, moderation="manual")
        api.update(f"{self.id}/0", moderation_status="approved")
        api.update(f"{self.id}/1", moderation_status="rejected")
        for status, wanted in (("approved", 0), ("rejected", 1), ("pending", 2)):
            listed = api.resources_by_moderation("manual", status, max_results=500, tags=True, moderations=True)
            mine = [entry for entry in listed["resources"] if entry["public_id"].startswith(self.id)]
            self.assertEqual([entry["public_id"] for entry in mine], [f"{self.id}/{wanted}"])
            self.assertEqual(mine[0]["tags"], [self.id])
            self.assertEqual([(entry["kind"], entry["status"]) for entry in mine[0]["moderation"]], [("manual", status)])
        uploader.add_context({self.id: "two"}, [f"{self.id}/2"])
        self.assertEqual(len(api.resources_by_context(self.id)["resources"]), 3)
        self.assertEqual(self.ids(api.resources_by_context(self.id, "two")), [f"{self.id}/2"])
        found = api.resources_by_tag(self.id, context=True, direction="asc", max_results=1)
        self.assertEqual(found["resources"][0]["public_id"], f"{self.id}/0")
        self.assertEqual(found["resources"][0]["context"], {"custom": {self.id: "one"}})
        rest = api.resources_by_tag(self.id, direction="asc", next_cursor=found["next_cursor"])
        self.assertEqual(self.ids(rest), [f"{self.id}/1", f"{self.id}/2"])
        chosen = api.resources_by_tag(self.id, fields=["tags"], max_results=1)["resources"][0]
        self.assertLessEqual({"asset_id", "public_id", "tags"}, set(chosen))
        self.assertNotIn("width", chosen)

    def test_deletion_by_asset_id_tag_and_all(self):
        kept = self.kept(2)
        ids = [entry["asset_id"] for entry in kept]
        deleted = api.delete_resources_by_asset_ids([ids[0], "0" * 32])
        self.assertEqual(deleted["deleted"], {ids[0]: "deleted", "0" * 32: "not_found"})
        with self.assertRaises(cloudinary.exceptions.NotFound):
            api.resource_by_asset_id(ids[0])
        # A type of its own, because the rest of the library shares this cloud.
        for place in range(2):
            self.upload(str(self.jpg), public_id=f"{self.id}-{place}", type="private")
        deleted = api.delete_all_resources(type="private")
        self.assertEqual(deleted["deleted"][f"{self.id}-0"], "deleted")
        self.assertEqual(api.resources(type="private")["resources"], [])
        self.assertEqual(api.resource(f"{self.id}/1")["asset_id"], ids[1])

    def test_derived_by_transformation(self):
        public_id = self.kept(1, eager=[{"width": 21, "crop": "scale"}, {"width": 22, "crop": "scale"}])[0]["public_id"]
        self.assertEqual(len(api.resource(public_id)["derived"]), 2)
        gone = api.delete_derived_by_transformation([public_id], [{"width": 21, "crop": "scale"}])
        self.assertEqual(gone["deleted_counts"][public_id], {"original": 0, "derived": 1})
        left = api.resource(public_id)["derived"]
        self.assertEqual([entry["transformation"] for entry in left], ["c_scale,w_22"])

    def test_relations(self):
        first, second = self.kept(2)
        names = [f"image/upload/{entry['public_id']}" for entry in (first, second)]
        made = api.add_related_assets(first["public_id"], [names[1], f"image/upload/{self.id}/nope"])
        self.assertEqual([(entry["asset"], entry["code"]) for entry in made["success"]], [(names[1], "success_ids")])
        self.assertEqual([entry["code"] for entry in made["failed"]], ["non_existing_ids"])
        self.assertEqual(api.resource(second["public_id"], related=True)["related_assets"][0]["public_id"], first["public_id"])
        gone = api.delete_related_assets(second["public_id"], [names[0]])
        self.assertEqual(gone["success"][0]["status"], 200)
        self.assertEqual(api.resource(first["public_id"], related=True).get("related_assets", []), [])
        made = api.add_related_assets_by_asset_ids(first["asset_id"], [second["asset_id"]])
        self.assertEqual((made["success"][0]["asset"], made["failed"]), (second["asset_id"], []))
        again = api.add_related_assets_by_asset_ids(first["asset_id"], [second["asset_id"]])
        self.assertEqual(again["failed"][0]["code"], "already_exists_ids")
        gone = api.delete_related_assets_by_asset_ids(first["asset_id"], [second["asset_id"]])
        self.assertEqual(gone["success"][0]["asset"], second["asset_id"])
        self.assertEqual(api.resource(second["public_id"], related=True).get("related_assets", []), [])

    def test_publishing(self):
        for place in range(3):
            self.upload(str(self.jpg), public_id=f"{self.id}/{place}", type="private", tags=[f"{self.id}-{place}"])
        self.assertEqual(api.publish_by_ids([f"{self.id}/0"], type="authenticated")["published"], [])
        published = api.publish_by_ids([f"{self.id}/0"])["published"]
        self.assertEqual(published[0]["public_id"], f"{self.id}/0")
        self.assertIn("/upload/", published[0]["url"])
        self.fetch(published[0]["url"])
        self.assertEqual([entry["public_id"] for entry in api.publish_by_prefix(f"{self.id}/1")["published"]], [f"{self.id}/1"])
        self.assertEqual([entry["public_id"] for entry in api.publish_by_tag(f"{self.id}-2")["published"]], [f"{self.id}/2"])
        self.assertEqual(len(self.ids(api.resources(type="upload", prefix=self.id))), 3)

    def test_restoring_by_asset_id_and_kept_versions(self):
        first = self.upload(str(self.jpg), public_id=self.id, backup=True)
        second = self.upload(str(self.webp), public_id=self.id, backup=True)
        self.assertEqual(first["asset_id"], second["asset_id"])
        asset_id = first["asset_id"]
        versions = {entry["version_id"] for entry in api.resource(self.id, versions=True)["versions"]}
        self.assertEqual(versions, {first["version_id"], second["version_id"]})
        old = self.fetch(utils.download_backedup_asset(asset_id, first["version_id"]))
        self.assertEqual(hashlib.md5(old.data).hexdigest(), first["etag"])
        api.delete_resources([self.id])
        restored = api.restore_by_asset_ids([asset_id])
        self.assertEqual(restored[asset_id]["public_id"], self.id)
        self.assertEqual(hashlib.md5(self.fetch(self.url(self.id, format="webp")).data).hexdigest(), second["etag"])
        gone = api.delete_backed_up_assets(asset_id, [first["version_id"]])
        self.assertEqual((gone["asset_id"], gone["deleted_version_ids"]), (asset_id, [first["version_id"]]))
        left = {entry["version_id"] for entry in api.resource(self.id, versions=True)["versions"]}
        self.assertNotIn(first["version_id"], left)
        self.fetch(utils.download_backedup_asset(asset_id, first["version_id"]), status=404)

    def test_archives_and_their_addresses(self):
        self.kept(2, tags=[self.id], asset_folder=f"{self.id}/in")
        names = [f"{self.id}/0.jpg", f"{self.id}/1.jpg"]
        made = uploader.create_zip(tags=self.id, target_public_id=f"{self.id}-zip")
        self.assertEqual((made["file_count"], made["resource_count"], self.zipped(made["url"])), (2, 2, names))
        self.assertLessEqual({"version", "secure_url", "created_at", "tags", "signature", "bytes", "etag", "type"}, set(made))
        made = uploader.create_archive(tags=self.id, transformations=[{"width": 20}, {"width": 30}])
        self.assertEqual(made["file_count"], 4)
        self.assertEqual(self.zipped(utils.download_zip_url(tags=self.id)), names)
        self.assertEqual(self.zipped(utils.download_archive_url(tags=self.id, target_format="zip")), names)
        self.assertEqual(self.zipped(utils.zip_download_url(self.id)), names)
        self.assertEqual(self.zipped(utils.download_folder(self.id, resource_type="image")), names)
        with self.assertRaisesRegex(cloudinary.exceptions.Error, "No resources found"):
            uploader.create_zip(tags=f"{self.id}-none")

    def test_private_downloads(self):
        self.upload(str(self.jpg), public_id=self.id, type="private")
        self.assertEqual(self.fetch(utils.private_download_url(self.id, "jpg", type="private")).data, self.jpg.read_bytes())
        wrong = utils.private_download_url(self.id, "jpg", type="private").replace("signature=", "signature=0")
        self.fetch(wrong, status=401)

    def test_sprites_and_animations_for_downloading(self):
        self.kept(2, tags=[self.id])
        sprite = self.fetch(uploader.download_generated_sprite(self.id, transformation={"width": 40, "crop": "scale"}))
        self.assertEqual(sprite.headers["Content-Type"], "image/png")
        self.assertIn("attachment", sprite.headers["Content-Disposition"])
        animation = self.fetch(uploader.download_multi(self.id, transformation={"width": 40, "crop": "scale"}))
        self.assertEqual((animation.headers["Content-Type"], animation.data[:3]), ("image/gif", b"GIF"))
        wrong = uploader.download_multi(self.id).replace("signature=", "signature=0")
        self.fetch(wrong, status=401)

    def test_searches_of_folders_and_their_address(self):
        self.kept(2, asset_folder=f"{self.id}/in", tags=[self.id])
        api.create_folder(f"{self.id}/empty")
        found = cloudinary.SearchFolders().expression(f"path:{self.id}/*").sort_by("name", "asc").max_results(1).execute()
        # The folder itself is one of them.
        self.assertEqual((found["total_count"], found["folders"][0]["path"]), (3, f"{self.id}/empty"))
        search = cloudinary.Search().expression(f"tags={self.id}").sort_by("public_id", "asc").max_results(1).fields("tags")
        page = search.execute()
        self.assertEqual((page["total_count"], page["resources"][0]["tags"]), (2, [self.id]))
        listed = self.fetch(search.to_url(ttl=120))
        self.assertIn("max-age=120", listed.headers["Cache-Control"])
        self.assertIn(f'"public_id":"{self.id}/0"', listed.data.decode())
        following = self.fetch(search.to_url(next_cursor=page["next_cursor"]))
        self.assertIn(f'"public_id":"{self.id}/1"', following.data.decode())

    def test_rules_of_access(self):
        rules = [{"access_type": "anonymous", "start": "2099-01-01T00:00:00Z"}, {"access_type": "token"}]
        shut = self.upload(str(self.jpg), public_id=self.id, access_control=rules)
        self.assertEqual([rule["access_type"] for rule in shut["access_control"]], ["anonymous", "token"])
        self.fetch(shut["secure_url"], status=401)
        opened = api.update(self.id, access_control=[{"access_type": "anonymous", "end": "2099-01-01T00:00:00Z"}])
        self.assertEqual(opened["access_control"][0]["access_type"], "anonymous")
        deadline = time.monotonic() + 30
        while self.server.get(shut["secure_url"]).status != 200:
            self.assertLess(time.monotonic(), deadline, "the new rule is not seen")
            time.sleep(0.1)
        # What faces were given lies where it was given, in the answer inside the picture.
        made = self.upload(str(self.jpg), public_id=self.id, face_coordinates=[[400, 300, 200, 600]], faces=True)
        self.assertEqual(made["faces"], [[400, 300, 200, 512]])
        uploader.explicit(self.id, type="upload", face_coordinates=[[401, 301, 200, 601]], custom_coordinates=[1, 2, 3, 4])
        found = api.resource(self.id, coordinates=True, faces=True)
        self.assertEqual(found["faces"], [[401, 301, 200, 601]])
        self.assertEqual(found["coordinates"], {"faces": [[401, 301, 200, 601]], "custom": [[1, 2, 3, 4]]})


class Unbuilt:
    """What is not built says so, in the form that the SDK reads."""

    def refused(self, call, kind=cloudinary.exceptions.Error, text="not supported"):
        with self.assertRaisesRegex(kind, text):
            call()

    def test_what_is_not_built(self):
        self.upload(str(self.jpg), public_id=self.id)
        rule = {"metadata_field_id": "a", "name": "r", "condition": {}, "result": {"enable": True}}
        for call in (
            lambda: uploader.create_slideshow(manifest_json={"w": 1}, public_id=f"{self.id}-s"),
            lambda: uploader.explode(self.id, page="all"),
            lambda: api.visual_search(text="a cat"),
            lambda: api.analyze("uri", "captioning", uri="https://example.com/a.jpg"),
            lambda: api.notifications(channel="c"),
            lambda: api.ack_notifications(["handle"]),
            lambda: api.test_trigger("1" * 32),
            lambda: api.list_metadata_rules(),
            lambda: api.add_metadata_rule(rule),
            lambda: api.update_metadata_rule("r", rule),
            lambda: api.delete_metadata_rule("r"),
        ):
            self.refused(call)

    def test_add_ons_are_refused_in_the_words_of_the_original(self):
        for options, text in (
            ({"raw_convert": "illegal"}, "Raw convert is invalid"),
            ({"categorization": "illegal"}, "is not valid"),
            ({"detection": "illegal"}, "Detection invalid model 'illegal'"),
            ({"background_removal": "illegal"}, "is invalid"),
        ):
            with self.subTest(**options):
                self.refused(lambda given=options: self.upload(str(self.jpg), **given), cloudinary.exceptions.BadRequest, text)


