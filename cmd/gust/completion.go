package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (c *command) completion() *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish",
		Short: "Print a shell's completion for gust",
		Long: `Print a script that makes a shell complete gust's commands, flags and names.

  bash   source <(gust completion bash)            in ~/.bashrc
  zsh    source <(gust completion zsh)             in ~/.zshrc, after compinit
  fish   gust completion fish | source             in ~/.config/fish/config.fish`,
		ValidArgs: []string{"bash", "zsh", "fish"},
		Args:      one,
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(c.out, true)
			case "zsh":
				return root.GenZshCompletion(c.out)
			case "fish":
				return root.GenFishCompletion(c.out, true)
			default:
				return usageError{fmt.Errorf("there is no completion for %q; there is one for bash, zsh and fish", args[0]), cmd.CommandPath()}
			}
		},
	}
}
