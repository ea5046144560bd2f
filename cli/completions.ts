import { type Command, EXIT } from "./command.ts";
import { CTL_COMMANDS } from "./names.ts";

const names = Object.keys(CTL_COMMANDS).join(" ");
const SHELLS = ["bash", "zsh", "fish"] as const;
type Shell = (typeof SHELLS)[number];

/** What each shell reads. After a command come files; after `help` commands; after `completions` shells. */
const SCRIPTS: Record<Shell, string> = {
  bash: `_timmyctl() {
  local word=\${COMP_WORDS[COMP_CWORD]}
  if [ "$COMP_CWORD" -eq 1 ]; then mapfile -t COMPREPLY < <(compgen -W "${names}" -- "$word"); return; fi
  case \${COMP_WORDS[1]} in
    help) mapfile -t COMPREPLY < <(compgen -W "${names}" -- "$word") ;;
    completions) mapfile -t COMPREPLY < <(compgen -W "${SHELLS.join(" ")}" -- "$word") ;;
    *) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
  esac
}
complete -o filenames -F _timmyctl timmyctl`,
  zsh: `#compdef timmyctl
_timmyctl() {
  local -a commands=(
${Object.entries(CTL_COMMANDS).map(([name, summary]) => `    '${name}:${summary.replaceAll(":", "\\:")}'`).join("\n")}
  )
  if (( CURRENT == 2 )); then _describe command commands; return; fi
  case $words[2] in
    help) _describe command commands ;;
    completions) _values shell ${SHELLS.join(" ")} ;;
    *) _files ;;
  esac
}
compdef _timmyctl timmyctl`,
  fish: [
    ...Object.entries(CTL_COMMANDS).map(([name, summary]) =>
      `complete -c timmyctl -n __fish_use_subcommand -f -a ${name} -d '${summary}'`
    ),
    `complete -c timmyctl -n '__fish_seen_subcommand_from help' -f -a '${names}'`,
    `complete -c timmyctl -n '__fish_seen_subcommand_from completions' -f -a '${SHELLS.join(" ")}'`,
  ].join("\n"),
};

export const command: Command = {
  usage: SHELLS.join("|"),
  help: `bash: put \`source <(timmyctl completions bash)\` into ~/.bashrc.
zsh:  \`source <(timmyctl completions zsh)\` in ~/.zshrc, after compinit.
fish: \`timmyctl completions fish > ~/.config/fish/completions/timmyctl.fish\`.`,
  run([shell, ...more], io) {
    const known = SHELLS.find((name) => name === shell);
    if (!known || more.length > 0) return Promise.resolve(EXIT.usage);
    io.out(SCRIPTS[known]);
    return Promise.resolve(EXIT.ok);
  },
};
