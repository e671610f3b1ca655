/**
 * Has a link lead to one file and to another in turns, until it's killed.
 *
 *     flip_link.ts FOLDER LINK TARGET TARGET
 *
 * @module
 */

const [folder, link, ...targets] = Deno.args;
for (let i = 0;; i++) {
  Deno.symlinkSync(targets[i % targets.length]!, `${folder}/next`);
  Deno.renameSync(`${folder}/next`, `${folder}/${link}`);
}
