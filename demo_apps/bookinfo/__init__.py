"""Istio's bookstore in four services: productpage calls details and reviews, reviews calls ratings.

They behave as the published ones do where a lab can see it: paths, answers, the headers that travel from call
to call, time limits, and the retry whose limit is too short for what reviews v2 waits.
"""
