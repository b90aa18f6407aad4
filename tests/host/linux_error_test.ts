import { assertEquals } from "@std/assert";
import { hostError, listenError } from "../../host/linux_error.ts";

Deno.test("hostError tells Linux's error numbers apart as a guest can", () => {
  const classes = {
    refused: [111],
    reset: [104, 103, 32],
    networkUnreachable: [101, 97],
    hostUnreachable: [113, 112],
    prohibited: [13, 1],
    timedOut: [110],
    tooLarge: [90],
    exhausted: [24, 23, 105, 12, 99, 11],
    other: [0, 22, 4095],
  };
  for (const [name, codes] of Object.entries(classes)) {
    assertEquals(codes.map(hostError), codes.map(() => name));
  }
});

Deno.test("listenError tells them apart as a user can do something about them", () => {
  const classes = {
    addressInUse: [98],
    privileged: [13, 1],
    addressNotAvailable: [99, 97],
    exhausted: [24, 23, 105, 12],
    other: [0, 22, 4095],
  };
  for (const [name, codes] of Object.entries(classes)) {
    assertEquals(codes.map(listenError), codes.map(() => name));
  }
});
