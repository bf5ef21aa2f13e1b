"""Route tests: what requests are expected to come to, written down, and tried without a mesh.

`case_file` reads the expectations; `judgement` compares each with what `minimesh explain` says of the
request, so that a case which fails can say why.
"""
