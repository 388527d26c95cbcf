"""Provisioning, definitions of metadata and triggers through the official `cloudinary` package."""

import subprocess

import cloudinary
import cloudinary.api
import cloudinary.exceptions
import cloudinary.provisioning
import cloudinary.uploader

from server import program

api = cloudinary.api


def account_url(server):
    """What `tintype provision-key` prints for the stores of a server, made once."""
    if not hasattr(server, "account_url"):
        done = subprocess.run(
            [str(program()), "provision-key"], cwd=server.folder, env=server.environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=60,
        )
        assert done.returncode == 0, done.stderr
        server.account_url = done.stdout.splitlines()[0].removeprefix("CLOUDINARY_ACCOUNT_URL=")
    return server.account_url


class Accounts:
    """Clouds as sub accounts, keys as access keys; mixed into a test case that has a server and `self.id`."""

    def provisioned(self):
        """Options of a call: the account, and the server by the configuration that everything else uses."""
        key, rest = account_url(self.server).removeprefix("account://").split(":", 1)
        secret, account = rest.split("@")
        return {"account_id": account, "provisioning_api_key": key, "provisioning_api_secret": secret}

    def test_sub_accounts(self):
        account, of = cloudinary.provisioning, self.provisioned()
        made = account.create_sub_account(f"Shop {self.id}", cloud_name=self.id, custom_attributes={"owner": "me"}, **of)
        self.assertEqual((made["cloud_name"], made["name"], made["enabled"]), (self.id, f"Shop {self.id}", True))
        self.assertEqual(made["custom_attributes"], {"owner": "me"})
        self.assertEqual(account.sub_account(made["id"], **of)["cloud_name"], self.id)
        listed = account.sub_accounts(prefix=f"shop {self.id}", **of)["sub_accounts"]
        self.assertEqual([entry["id"] for entry in listed], [made["id"]])
        self.assertEqual(len(account.sub_accounts(ids=[made["id"]], **of)["sub_accounts"]), 1)
        self.assertEqual(account.sub_accounts(enabled=False, **of)["sub_accounts"], [])
        # Its first pair of keys works at once.
        pair = made["api_access_keys"][0]
        as_shop = {"cloud_name": self.id, "api_key": pair["key"], "api_secret": pair["secret"]}
        self.assertEqual(self.upload(str(self.jpg), public_id="a", **as_shop)["public_id"], "a")
        self.assertEqual(len(api.resources(**as_shop)["resources"]), 1)
        changed = account.update_sub_account(made["id"], name="Renamed", custom_attributes={"owner": "you"}, **of)
        self.assertEqual((changed["name"], changed["custom_attributes"]), ("Renamed", {"owner": "you"}))
        with self.assertRaises(cloudinary.exceptions.AlreadyExists):
            account.create_sub_account("Again", cloud_name=self.id, **of)
        self.assertEqual(account.delete_sub_account(made["id"], **of)["message"], "ok")
        with self.assertRaisesRegex(cloudinary.exceptions.NotFound, f"Cannot find sub account with id {made['id']}"):
            account.sub_account(made["id"], **of)
        with self.assertRaises(cloudinary.exceptions.AuthorizationRequired):
            account.sub_accounts(**of | {"provisioning_api_secret": "wrong"})

    def test_keys_are_rotated(self):
        account, of = cloudinary.provisioning, self.provisioned()
        shop = account.create_sub_account(self.id, cloud_name=self.id, **of)
        old = shop["api_access_keys"][0]["key"]
        made = account.generate_access_key(shop["id"], name="second", enabled=True, **of)
        self.assertEqual((made["name"], made["enabled"]), ("second", True))
        pair = {"cloud_name": self.id, "api_key": made["api_key"], "api_secret": made["api_secret"]}
        self.assertEqual(api.ping(**pair)["status"], "ok")
        listed = account.access_keys(shop["id"], page_size=1, page=2, sort_by="created_at", sort_order="asc", **of)
        self.assertEqual((listed["total"], [entry["name"] for entry in listed["access_keys"]]), (2, ["second"]))
        self.assertEqual(account.update_access_key(shop["id"], old, enabled=False, **of)["enabled"], False)
        old_pair = {"cloud_name": self.id, "api_key": old, "api_secret": shop["api_access_keys"][0]["secret"]}
        with self.assertRaises(cloudinary.exceptions.AuthorizationRequired):
            api.ping(**old_pair)
        self.assertEqual(account.update_access_key(shop["id"], old, name="first", enabled=True, **of)["name"], "first")
        self.assertEqual(api.ping(**old_pair)["status"], "ok")
        self.assertEqual(account.delete_access_key(shop["id"], old, **of)["message"], "ok")
        with self.assertRaises(cloudinary.exceptions.AuthorizationRequired):
            api.ping(**old_pair)
        account.delete_sub_account(shop["id"], **of)

    def test_users_are_refused(self):
        account, of = cloudinary.provisioning, self.provisioned()
        for call in (
            lambda: account.users(**of),
            lambda: account.create_user("a", "a@example.com", "admin", **of),
            lambda: account.user("u", **of),
            lambda: account.update_user("u", name="b", **of),
            lambda: account.delete_user("u", **of),
            lambda: account.user_groups(**of),
            lambda: account.create_user_group("g", **of),
            lambda: account.user_group("g", **of),
            lambda: account.update_user_group("g", "h", **of),
            lambda: account.delete_user_group("g", **of),
            lambda: account.add_user_to_group("g", "u", **of),
            lambda: account.remove_user_from_group("g", "u", **of),
            lambda: account.user_group_users("g", **of),
            lambda: account.user_in_user_groups("u", **of),
        ):
            with self.assertRaisesRegex(cloudinary.exceptions.NotAllowed, "no users and no user groups"):
                call()
        for call in (
            lambda: account.create_agent_account("a@example.com", "framework", "model", "a goal"),
            lambda: account.create_cloud(),
        ):
            with self.assertRaisesRegex(cloudinary.exceptions.NotFound, "not supported"):
                call()


class Definitions:
    """Fields of metadata, presets, profiles and triggers, as far as `Library` has not called them."""

    def test_fields_and_their_order(self):
        names = [f"{letter}{self.id}" for letter in "cab"]
        for name in names:
            made = api.add_metadata_field({"external_id": name, "label": name, "type": "string"})
            self.assertEqual((made["mandatory"], made["default_value"], made["validation"]), (False, None, None))
        def mine(fields):
            return [field["external_id"] for field in fields["metadata_fields"] if field["external_id"] in names]

        self.assertEqual(mine(api.list_metadata_fields()), names)
        self.assertEqual(mine(api.reorder_metadata_fields("label", "asc")), sorted(names))
        self.assertEqual(mine(api.reorder_metadata_fields("external_id", "desc")), sorted(names, reverse=True))
        self.assertEqual(mine(api.reorder_metadata_fields("created_at")), names)
        changed = api.update_metadata_field(names[0], {"label": f"New {self.id}", "type": "integer", "external_id": "x"})
        self.assertEqual((changed["label"], changed["type"], changed["external_id"]), (f"New {self.id}", "string", names[0]))
        self.assertEqual(api.metadata_field_by_field_id(names[0])["label"], f"New {self.id}")
        with self.assertRaises(cloudinary.exceptions.BadRequest):
            api.reorder_metadata_fields("nothing")
        for name in names:
            self.assertEqual(api.delete_metadata_field(name)["message"], "ok")
        with self.assertRaisesRegex(cloudinary.exceptions.BadRequest, f"external id {names[0]} already exists"):
            api.add_metadata_field({"external_id": names[0], "label": "again", "type": "string"})

    def test_data_sources(self):
        entries = [{"external_id": name, "value": name.upper()} for name in ("b", "c", "a")]
        api.add_metadata_field({"external_id": self.id, "label": self.id, "type": "enum", "datasource": {"values": entries}})
        ordered = api.reorder_metadata_field_datasource(self.id, "value", "asc")
        self.assertEqual([entry["external_id"] for entry in ordered["values"]], ["a", "b", "c"])
        changed = api.update_metadata_field_datasource(self.id, [{"external_id": "a", "value": "Z"}, {"value": "new"}])
        # An answer of this call has an entry as it was sent; the field's own definition also tells the state.
        self.assertIn({"external_id": "a", "value": "Z"}, changed["values"])
        self.assertEqual(len(changed["values"]), 4)
        states = {entry["state"] for entry in api.metadata_field_by_field_id(self.id)["datasource"]["values"]}
        self.assertEqual(states, {"active"})
        api.delete_metadata_field(self.id)

    def test_presets_and_mappings_in_lists(self):
        name = f"p{self.id}"
        api.create_upload_preset(name=name, use_asset_folder_as_public_id_prefix=True)
        listed = {preset["name"]: preset for preset in api.upload_presets(max_results=500)["presets"]}
        self.assertEqual(listed[name]["settings"], {"use_asset_folder_as_public_id_prefix": True})
        transformation = [{"width": 30, "crop": "scale"}, {"radius": 5}]
        api.update_upload_preset(name, overwrite=True, allowed_formats="jpg,png", context={"a": "b"}, transformation=transformation)
        settings = api.upload_preset(name)["settings"]
        self.assertEqual((settings["overwrite"], settings["allowed_formats"]), (True, ["jpg", "png"]))
        self.assertEqual((settings["context"], settings["transformation"]), ({"a": "b"}, transformation))
        with self.assertRaises(cloudinary.exceptions.AlreadyExists):
            api.create_upload_preset(name=name)
        self.assertEqual(api.delete_upload_preset(name)["message"], "deleted")
        with self.assertRaises(cloudinary.exceptions.NotFound):
            api.upload_mapping(f"{self.id}-none")

    def test_streaming_profiles_are_changed(self):
        first = [{"transformation": {"bit_rate": "5m", "height": 1200, "width": 1200, "crop": "limit"}}]
        second = [{"transformation": {"crop": "scale", "width": 100, "height": 200}}]
        self.assertEqual(api.create_streaming_profile(self.id, representations=first)["message"], "created")
        changed = api.update_streaming_profile(self.id, representations=second, display_name="Shown")
        self.assertEqual((changed["message"], changed["data"]["display_name"]), ("updated", "Shown"))
        found = api.get_streaming_profile(self.id)["data"]["representations"]
        self.assertEqual(found, [{"transformation": [{"crop": "scale", "height": 200, "width": 100}]}])
        with self.assertRaises(cloudinary.exceptions.AlreadyExists):
            api.create_streaming_profile(self.id, representations=first)
        self.assertEqual(api.delete_streaming_profile(self.id)["message"], "deleted")
        with self.assertRaises(cloudinary.exceptions.NotFound):
            api.get_streaming_profile(self.id)

    def test_triggers(self):
        made = api.create_trigger(f"https://example.com/{self.id}", "upload")
        self.assertEqual((made["uri"], made["event_type"], made["uri_type"]), (f"https://example.com/{self.id}", "upload", "webhook"))
        self.assertIn(made["id"], [entry["id"] for entry in api.triggers(event_type="upload")["triggers"]])
        self.assertNotIn(made["id"], [entry["id"] for entry in api.triggers(event_type="delete")["triggers"]])
        api.update_trigger(made["id"], f"https://example.org/{self.id}")
        found = {entry["id"]: entry["uri"] for entry in api.triggers()["triggers"]}
        self.assertEqual(found[made["id"]], f"https://example.org/{self.id}")
        api.delete_trigger(made["id"])
        self.assertNotIn(made["id"], [entry["id"] for entry in api.triggers()["triggers"]])
        with self.assertRaises(cloudinary.exceptions.NotFound):
            api.delete_trigger(made["id"])
