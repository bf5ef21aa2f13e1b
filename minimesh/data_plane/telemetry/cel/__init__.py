"""CEL, as access-log filters use it: an expression over the attributes of one finished stream.

The part of the language that conditions on requests need: literals, the operators, `in`, `?:`, indexing and
fields, `size`, `matches`, `contains`, `startsWith`, `endsWith`, `has`, and conversions. Macros over lists and
everything else are refused by name when configuration arrives. As in Envoy an expression that fails while it
is evaluated, or does not come to a bool, lets nothing through.
"""

from minimesh.cel_syntax import CelError as CelError
from minimesh.data_plane.telemetry.cel.program import compile_condition as compile_condition
