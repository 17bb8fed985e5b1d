"""Checks manifests of Kubernetes against its schemas, unknown fields too, and prints them as JSON.

    python manifests.py FILE...
"""

import json
import sys

import kubernetes_validate
import yaml

# The oldest version that has every field (backoffLimitPerIndex is stable from 1.33 on), and the
# newest that there are schemas of.
VERSIONS = ["1.33", kubernetes_validate.latest_version()]

for path in sys.argv[1:]:
    with open(path, encoding="utf-8") as file:
        documents = list(yaml.safe_load_all(file))
    for document in documents:
        for version in VERSIONS:
            kubernetes_validate.validate(document, version, strict=True)
        print(json.dumps(document))
