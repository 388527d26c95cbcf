"""What the table of SDK methods cannot know by itself."""

# Methods that ask no server; the key is the method's name in either client.
_PARAMETER = "sets a part of a search"
LOCAL = {
    "api.only": "picks entries of a dict",
    "api.transformation_string": "makes a text",
    "uploader.call_api": "the way to routes without a method",
    "uploader.call_cacheable_api": "the way to routes without a method",
    "uploader.call_context_api": "the way to routes without a method",
    "uploader.call_tags_api": "the way to routes without a method",
    "uploader.direct_upload": "makes the parts of a form",
    "uploader.image_upload_tag": "makes the HTML of a form",
    "uploader.is_appengine_sandbox": "asks the environment",
    "uploader.unsigned_image_upload_tag": "makes the HTML of a form",
    "uploader.upload_large_part": "a part of `upload_large`",
    "uploader.upload_tag_params": "makes the parts of a form",
    "uploader.upload_url": "makes an address of `upload`",
    "utils.api_download_url": "makes addresses for the others",
    "utils.api_url": "makes addresses for the others",
    "utils.base_api_url": "makes addresses for the others",
    "utils.base_api_url_v1": "makes addresses for the others",
    "utils.base_api_url_v2": "makes addresses for the others",
    "utils.cloudinary_api_download_url": "makes addresses for the others",
    "utils.cloudinary_api_url": "makes addresses for the others",
    "utils.unsigned_download_url_prefix": "makes addresses for the others",
} | {
    f"{kind}.{name}": _PARAMETER
    for kind in ("Search", "SearchFolders", "search", "search_folders")
    for name in ("aggregate", "expression", "fields", "max_results", "next_cursor", "sort_by", "ttl", "with_field")
} | {
    f"{kind}.{name}": "shows a search as data"
    for kind in ("Search", "SearchFolders")
    for name in ("as_dict", "endpoint", "to_json")
} | {
    f"{kind}.to_query": "shows a search as data" for kind in ("search", "search_folders")
} | {
    f"{kind}.to_url": "makes the address of a search for assets" for kind in ("SearchFolders", "search_folders")
}

# Methods whose calls the server refuses, and why; tests show the refusal. A client in front limits an entry to it.
_USERS = "no users: access is by keys"
REFUSED = {
    "uploader.create_slideshow": "videos are not made",
    "api.visual_search": "no index of looks",
    "api.analyze": "no add-ons",
    "api.notifications": "webhooks, no polling",
    "api.ack_notifications": "webhooks, no polling",
    "api.test_trigger": "not built",
    "api.list_metadata_rules": "no conditional rules",
    "api.add_metadata_rule": "no conditional rules",
    "api.update_metadata_rule": "no conditional rules",
    "api.delete_metadata_rule": "no conditional rules",
    "provisioning.create_agent_account": "clouds are made by `tintype cloud` or as sub accounts",
    "provisioning.create_cloud": "clouds are made by `tintype cloud` or as sub accounts",
} | {
    f"provisioning.{name}": _USERS
    for name in (
        "users", "create_user", "delete_user", "user", "update_user", "user_groups", "create_user_group", "update_user_group",
        "delete_user_group", "user_group", "add_user_to_group", "remove_user_from_group", "user_group_users",
        "user_in_user_groups",
    )
}

# Routes that the SDKs call and that the server's own description leaves out: it refuses most of them.
UNDOCUMENTED = [
    "POST /v1_1/{cloud_name}/video/create_slideshow",
    "POST /v1_1/{cloud_name}/resources/visual_search",
    "GET /v1_1/{cloud_name}/resources/visual_search",
    "POST /v2/{cloud_name}/analysis/analyze/{input}",
    "GET /v2/notifications/{cloud_name}/messages",
    "POST /v2/notifications/{cloud_name}/messages/ack",
    "POST /v1_1/{cloud_name}/triggers/{id}/test",
    "GET /v1_1/{cloud_name}/metadata_rules",
    "POST /v1_1/{cloud_name}/metadata_rules",
    "PUT /v1_1/{cloud_name}/metadata_rules/{external_id}",
    "DELETE /v1_1/{cloud_name}/metadata_rules/{external_id}",
    "GET /{cloud_name}/search/{query}",
    "GET /{cloud_name}/search_folders/{query}",
    "POST /v1_1/provisioning/agents/accounts",
    "POST /v1_1/provisioning/clouds",
] + [
    f"{method} /v1_1/provisioning/accounts/{{account_id}}/{path}"
    for method, path in (
        ("GET", "users"), ("POST", "users"), ("GET", "users/{id}"), ("PUT", "users/{id}"), ("DELETE", "users/{id}"),
        ("GET", "users/{id}/groups"), ("GET", "user_groups"), ("POST", "user_groups"), ("GET", "user_groups/{id}"),
        ("PUT", "user_groups/{id}"), ("DELETE", "user_groups/{id}"), ("GET", "user_groups/{id}/users"),
        ("POST", "user_groups/{id}/users/{user_id}"), ("DELETE", "user_groups/{id}/users/{user_id}"),
    )
]
