from tests.npm import fetch

fetch()
