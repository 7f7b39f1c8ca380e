import assert from "node:assert/strict";
import { test } from "node:test";

// The whole app, on the node that `gust test` starts.
const url = process.env.GUST_TEST_URL;

test("greets by name", { skip: !url && "run it by gust test" }, async () => {
  const response = await fetch(`${url}/{{name}}/Ada`);
  assert.equal(response.status, 200);
  assert.deepEqual(await response.json(), { message: "Hello, Ada!" });
});
