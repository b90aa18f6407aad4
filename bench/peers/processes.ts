/**
 * CPU time and resident memory of a process and everything below it, from /proc.
 *
 * @module
 */
import { runShell } from "./shell.ts";

/** Clock ticks a second in /proc (USER_HZ, which is 100 on every Linux that Deno runs on). */
const TICKS = 100;
const PAGE_BYTES = 4096;

/** What one line of /proc/PID/stat says. */
export interface ProcessStat {
  /** Process id. */
  pid: number;
  /** That of its parent. */
  parent: number;
  /** CPU seconds, user and system, those of ended children included. */
  cpuSeconds: number;
  /** Resident bytes. */
  residentBytes: number;
  /** The program's name. */
  name: string;
}

/** Reads /proc/PID/stat. The name may hold spaces and parentheses. */
export function parseStat(line: string): ProcessStat {
  const open = line.indexOf("("), close = line.lastIndexOf(")");
  const fields = line.slice(close + 2).trim().split(" ").map(Number);
  // Numbers of proc(5) less 3: the state is the first field here.
  return {
    pid: Number(line.slice(0, open)),
    name: line.slice(open + 1, close),
    parent: fields[1]!,
    cpuSeconds: (fields[11]! + fields[12]! + fields[13]! + fields[14]!) / TICKS,
    residentBytes: fields[21]! * PAGE_BYTES,
  };
}

/** The processes of a tree with this root, the root included. */
export function treeOf(root: number, all: readonly ProcessStat[]): ProcessStat[] {
  const found = all.filter((process) => process.pid === root);
  for (let i = 0; i < found.length; i++) found.push(...all.filter((process) => process.parent === found[i]!.pid));
  return found;
}

/** All processes there are now. By `cat`, because Deno wants every permission for what is in /proc. */
export async function readProcesses(): Promise<ProcessStat[]> {
  const lines = await runShell("cat /proc/[0-9]*/stat", 5000);
  return lines.split("\n").filter((line) => line !== "").map(parseStat);
}

/** CPU seconds and resident bytes of the tree, without the command that it serves. */
export async function usageOf(root: number, command: number): Promise<{ cpuSeconds: number; residentBytes: number }> {
  const tree = treeOf(root, await readProcesses()).filter(({ pid }) => pid !== command);
  return {
    cpuSeconds: tree.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0),
    residentBytes: tree.reduce((sum, { residentBytes }) => sum + residentBytes, 0),
  };
}
