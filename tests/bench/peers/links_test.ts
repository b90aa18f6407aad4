import { assertEquals, assertThrows } from "@std/assert";
import { formatLinks, parseLinksOptions, type Transfer } from "../../../bench/peers/links.ts";

function transfers(...mbps: number[]): Transfer[] {
  return mbps.map((each, i) => ({ mbps: each, stack: 0.5 + i / 10, client: 0.25 }));
}

Deno.test("formatLinks states medians, their spread and their ratio, and who was busy", () => {
  const [, , many, one] = formatLinks([
    { mtu: 1500, way: "g2h", transfers: { hawser: transfers(4000, 6000, 5000), passt: transfers(2500, 1000, 9000) } },
    { mtu: 65520, way: "h2g", transfers: { hawser: transfers(300), passt: transfers(400) } },
  ]).split("\n");
  assertEquals(
    many,
    "| 1500, guest to host | 5000 (4000–6000) | 2500 (1000–9000) | 2.00 | 0.60 (0.50–0.70), 0.25 (0.25–0.25) | 0.60 (0.50–0.70), 0.25 (0.25–0.25) |",
  );
  assertEquals(one, "| 65520, host to guest | 300 | 400 | 0.75 | 0.50, 0.25 | 0.50, 0.25 |");
});

Deno.test("parseLinksOptions takes rounds and seconds, and says what would be right", () => {
  assertEquals(parseLinksOptions([]), { rounds: 5, seconds: 3 });
  assertEquals(parseLinksOptions(["--seconds", "1", "--rounds", "7"]), { rounds: 7, seconds: 1 });
  assertThrows(() => parseLinksOptions(["--rounds"]), TypeError, "--rounds takes 1 to 99, not nothing");
  assertThrows(() => parseLinksOptions(["--seconds", "0"]), TypeError, "--seconds takes 1 to 99, not 0");
  assertThrows(() => parseLinksOptions(["--quick"]), TypeError, "Unknown option --quick: there are --rounds");
});
