package main

import (
	"github.com/spf13/cobra"

	"straum.dev/straum/internal/config"
	"straum.dev/straum/internal/edge/chain"
)

func newSchema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the configuration, for editors",
		Example: `  straum schema > straum.schema.json
  # then, as the first line of straum.yaml:
  # yaml-language-server: $schema=straum.schema.json`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			schema, err := config.Schema(chain.Schemas(chain.Order))
			if err == nil {
				_, err = c.OutOrStdout().Write(append(schema, '\n'))
			}
			return failed(err)
		},
	}
}
