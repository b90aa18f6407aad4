import { assertEquals } from "@std/assert";
import { hostError } from "../../forward/linux_error.ts";

Deno.test("hostError tells Linux's error numbers apart as a guest can", () => {
  const classes = {
    refused: [111],
    reset: [104, 103, 32],
    networkUnreachable: [101, 97],
    hostUnreachable: [113, 112],
    prohibited: [13, 1],
    timedOut: [110],
    exhausted: [24, 23, 105, 12, 99, 11],
    other: [0, 22, 4095],
  };
  for (const [name, codes] of Object.entries(classes)) {
    assertEquals(codes.map(hostError), codes.map(() => name));
  }
});
