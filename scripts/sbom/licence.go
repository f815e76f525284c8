package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// text is a file with a licence or a notice.
type text struct {
	name string
	data []byte
}

var named = regexp.MustCompile(`(?i)^(licen[sc]e|copying|notice|patents|authors)([-._].*)?$`)

// licenceTexts reads the files at the top of a module that say what may be done with it, by name.
func licenceTexts(dir string) ([]text, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var texts []text
	for _, e := range entries {
		if !e.Type().IsRegular() || !named.MatchString(e.Name()) || strings.HasSuffix(e.Name(), ".go") {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		texts = append(texts, text{e.Name(), data})
	}
	return texts, nil
}

// Words that each licence has and none of the others. What a file has several of counts together.
var known = []struct{ words, id string }{
	{"apache license version 2.0", "Apache-2.0"},
	{"licensed under the apache license, version 2.0", "Apache-2.0"},
	{"mozilla public license version 2.0", "MPL-2.0"},
	{"permission is hereby granted, free of charge, to any person obtaining a copy", "MIT"},
	{"permission to use, copy, modify, and/or distribute this software for any purpose", "ISC"},
	{"permission to use, copy, modify, and distribute this software for any purpose", "ISC"},
	{"this is free and unencumbered software released into the public domain", "Unlicense"},
	{"creative commons legal code cc0 1.0 universal", "CC0-1.0"},
}

var spaces = regexp.MustCompile(`[\s*#/]+`)

// recognise gives the SPDX expression for a module's texts. Empty means that there are some with words it does not know; that there are none is
// an error, as nobody may pass on what has no licence.
func recognise(texts []text) (string, error) {
	var ids []string
	found, alternative := false, ""
	for _, t := range texts {
		lower := strings.ToLower(t.name)
		if strings.HasPrefix(lower, "notice") || strings.HasPrefix(lower, "patents") || strings.HasPrefix(lower, "authors") {
			continue
		}
		found = true
		plain := strings.ToLower(spaces.ReplaceAllString(string(t.data), " "))
		for _, k := range known {
			if strings.Contains(plain, k.words) && !slices.Contains(ids, k.id) {
				ids = append(ids, k.id)
			}
		}
		if strings.Contains(plain, "redistribution and use in source and binary forms") {
			id := "BSD-2-Clause"
			if strings.Contains(plain, "used to endorse or promote products") {
				id = "BSD-3-Clause"
			}
			if !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
		if strings.Contains(plain, "alternatively, this product may be distributed under the terms of the gnu general public license v2.0 only") {
			alternative = " OR GPL-2.0-only" // libcap's modules, of which we take the first
		}
	}
	if !found {
		return "", errors.New("it has no file with a licence")
	}
	return strings.Join(ids, " AND ") + alternative, nil
}

// notices is all licences, each text once, with the modules it is of.
func notices(parts []part) []byte {
	var order []string
	of, texts := map[string][]string{}, map[string][]byte{}
	for _, p := range parts {
		for _, t := range p.texts {
			sum := sha256.Sum256(bytes.TrimSpace(t.data))
			key := string(sum[:])
			if texts[key] == nil {
				order, texts[key] = append(order, key), bytes.TrimSpace(t.data)
			}
			of[key] = append(of[key], fmt.Sprintf("%s %s (%s)", label(p), p.version, t.name))
		}
	}
	var b bytes.Buffer
	b.WriteString("Straum is made with the work of others. Their licences, each with what it is for:\n")
	for _, key := range order {
		b.WriteString("\n" + strings.Repeat("=", 78) + "\n")
		for _, name := range of[key] {
			b.WriteString(name + "\n")
		}
		b.WriteString(strings.Repeat("-", 78) + "\n")
		b.Write(bytes.ReplaceAll(texts[key], []byte("\r\n"), []byte("\n")))
		b.WriteByte('\n')
	}
	return b.Bytes()
}

func label(p part) string {
	if p.path == "std" {
		return "Go"
	}
	return p.path
}
