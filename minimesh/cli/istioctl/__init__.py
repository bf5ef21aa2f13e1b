"""`istioctl` as minimesh answers it: Istio's commands, words and tables over a mesh that runs here.

`main` has the group; one module a command. What a command prints is made by pure functions of plain JSON
(`*_table`, `describe_*`), so that it can be tested on any dump; `targets` and `admin` do the asking.
"""

from minimesh.cli.istioctl.main import istioctl as istioctl
