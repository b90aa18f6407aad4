import { assert, assertEquals } from "@std/assert";
import { requires } from "../support/requirements.ts";
import { Internet, INTERNET_NEEDS } from "./internet.ts";
import { auditColumn, readAudit } from "./names_support.ts";

const { ignore, reason } = requires(...INTERNET_NEEDS, "mount", "curl");

/** What a command tries against the files of its rules and records, `"$@"`; each success is a line. */
const ATTACK = `exec 2>/dev/null
for file in "$@"; do
  try() {
    grep -q allow "$file" && echo "read $file $1"
    grep -q event "$file" && echo "read $file $1"
    echo FORGED >>"$file" && grep -q FORGED "$file" && echo "wrote $file $1"
  }
  try "as it is"
  umount "$file"; umount -l "$file"; umount -l "$(dirname "$file")"
  try "uncovered"
  unshare -m sh -c 'umount -l "$1"; grep -q -e allow -e event "$1" && echo "read $1 in mounts of its own"' sh "$file"
  for pid in /proc/[0-9]*; do
    grep -q -e '"event"' -e '^allow' "$pid/root$file" && echo "read $file by $pid"
  done
  ln "$file" "$file.link" && grep -q -e allow -e event "$file.link" && echo "read $file by a link"
  mv "$file" "$file.moved" && grep -q -e allow -e event "$file.moved" && echo "moved $file"
  rm -f "$file" && echo allow '*' >"$file"
done
for fd in /proc/self/fd/* /proc/$$/fd/*; do
  for file in "$@"; do [ "$(readlink "$fd")" = "$file" ] && echo "has $file as $fd"; done
done
curl -sS -m 20 --cacert "$CA" https://registry.example/
curl -sS -m 20 --cacert "$CA" https://other.example/`;

Deno.test({
  name: `hawser run --isolate keeps its rules, audit and learnt list from a command that attacks them${reason}`,
  ignore,
  fn: async () => {
    await using internet = await Internet.start();
    const folder = await Deno.makeTempDir(),
      [rules, audit, learnt] = ["rules", "audit", "learnt"].map((name) => `${folder}/${name}`);
    const list = "allow registry.example:443\n", env = { CA: `${internet.folder}/ca.pem` };
    await Deno.writeTextFile(rules!, list);
    try {
      for (
        const [mode, files] of [[["--rules", rules!], [rules!, audit!]], [["--learn", learnt!], [
          learnt!,
          audit!,
        ]]] as const
      ) {
        const words = ["run", "--isolate", ...mode, "--audit", audit!, "--", "bash", "-c", ATTACK, "bash", ...files];
        const { stdout, stderr, code } = await internet.hawser(words, { env });
        const answers = ["hello from registry.example\n", mode[0] === "--learn" ? "hello from other.example\n" : ""]
          .join("");
        assertEquals([stdout, code === 0], [answers, mode[0] === "--learn"], stderr);
        assertEquals(await Deno.readTextFile(rules!), list);
        const records = readAudit(await Deno.readTextFile(audit!));
        assertEquals(records.at(-1)!.event, "end");
        assert(auditColumn(records, "verified", "name").includes("registry.example"));
      }
      assert((await Deno.readTextFile(learnt!)).includes("allow other.example:443"));
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});
