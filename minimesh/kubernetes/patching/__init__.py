"""PATCH in all its kinds, and who manages which field.

`requests` takes a body by its media type to one of `json_patches`, `strategic_merge` or `server_side_apply`,
which stands on `structured_merge`. `managed_fields` keeps the managers, in sets of `field_paths`.
"""
