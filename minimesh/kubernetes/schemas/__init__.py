"""What objects may look like, and how clients are told.

`published` has Kubernetes' own schemas, `of_types` the schema of each type served; `strict_fields` and
`structural` hold objects to them, `object_rules` to what no schema says. `openapi` and `openapi_v2` publish.
"""
