import json
import os
import unittest
import urllib.request

# The whole app, on the node that `gust test` starts.
URL = os.environ.get("GUST_TEST_URL")


@unittest.skipUnless(URL, "run it by gust test")
class App(unittest.TestCase):
    def test_greets_by_name(self):
        with urllib.request.urlopen(f"{URL}/{{name}}/Ada") as response:
            self.assertEqual(response.status, 200)
            self.assertEqual(json.load(response), {"message": "Hello, Ada!"})


if __name__ == "__main__":
    unittest.main()
