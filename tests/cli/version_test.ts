import { assertEquals, assertStringIncludes } from "@std/assert";
import { denoVersionProblem, LEAST_DENO, VERSION } from "../../cli/version.ts";

Deno.test("denoVersionProblem accepts the least version and every newer one", () => {
  for (const version of [LEAST_DENO, "2.9.6", "2.10.0", "3.0.0", "2.9.0-rc.1+abc"]) {
    assertEquals(denoVersionProblem(version), undefined, version);
  }
});

Deno.test("denoVersionProblem says what to do about an older one", () => {
  for (const version of ["2.8.9", "1.46.3", "2.0.0"]) {
    assertStringIncludes(denoVersionProblem(version) ?? "", `Deno ${version} is too old, Hawser needs ${LEAST_DENO}`);
  }
});

Deno.test("VERSION is that of the package", async () => {
  const config = JSON.parse(await Deno.readTextFile(new URL("../../deno.json", import.meta.url)));
  assertEquals(VERSION, config.version);
});
