import { assertEquals } from "@std/assert";
import { PASTA_ROWS } from "../../cli/pasta_rows.ts";
import { goesToBackground, TOLD_APART } from "../../cli/pasta_words.ts";

Deno.test("goesToBackground is certain of what podman and rootlesskit say", () => {
  const lines = [
    "--config-net -t 127.0.0.1/18080-18080:80-80 --dns-forward 169.254.1.1 -u none -T none -U none --no-map-gw --quiet " +
    "--netns /run/user/1/netns/netns-1 --map-guest-addr 169.254.1.2",
    "--config-net --pid /x/pid --dns-forward 169.254.1.1 -t none -u none -T none -U none --no-map-gw --quiet --netns /x",
    "--stderr --ns-ifname=tap0 --mtu=65520 --config-net --address=10.0.2.100 --netmask=24 --gateway=10.0.2.2 " +
    "--dns-forward=10.0.2.3 --ipv4-only --tcp-ports=auto --udp-ports=auto 4711",
  ];
  for (const line of lines) assertEquals(goesToBackground(line.split(" ")), true, line);
});

Deno.test("goesToBackground leaves every other line to be read as a whole", () => {
  const lines = [
    "",
    "true",
    "-4 1 2",
    "1 -4",
    "-f 1",
    "-f --netns /x",
    "--netns /x -f",
    "--netns /x true",
    "--netns /x 1",
    "--netns",
    "-t",
    "--help --netns /x",
    "--netns /x --version",
    "--netns /x --audit fd:3",
    "--netns=/x --quiet=yes",
    "-qf --netns /x",
    "-- 1",
    "--config-net",
  ];
  for (const line of lines) assertEquals(goesToBackground(line === "" ? [] : line.split(" ")), false, line);
});

Deno.test("the words that are told apart are options of pasta, with values or without as the table says", () => {
  const rows = Object.entries(PASTA_ROWS).map(([name, row]) => ({
    name,
    ...row as { letter?: string; read?: unknown },
  }));
  for (const [words, isValued] of [[TOLD_APART.valued, true], [TOLD_APART.flags, false]] as const) {
    for (const word of words) {
      const row = rows.find(({ name, letter }) => word === `--${name}` || word === `-${letter}`);
      assertEquals(row !== undefined && (row.read !== undefined) === isValued, true, word);
    }
  }
});
