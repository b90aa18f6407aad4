/**
 * The `hawser` command. `hawser --help` tells what it does.
 *
 * This file is only the door; `cli/start.ts` is what lies behind it.
 *
 * @module
 */
import { start } from "./cli/start.ts";

if (import.meta.main) await start(import.meta.url);
