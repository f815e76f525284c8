// Package config is what an operator may write: the keys of straum.yaml, their types, defaults and bounds, and
// every check that needs nothing but the file. It serves no step of a request; control/compile turns a Config
// into a snapshot.
//
// Load reads a file and what it includes, decodes it strictly (see package document), checks names, references
// and bounds, and returns either a Config in which every default stands, or *document.Problems with every
// mistake, each with file, line and column. What only the data plane can judge, such as ambiguous routes or a
// policy's options, is left to compile, which blames the Nodes kept in the Config.
//
// A Config is not changed after Load returned it. It is made anew for each revision.
//
// What it refuses to do: know any policy, open sockets, resolve names, read the environment or files other
// than through Options, and guess.
package config
