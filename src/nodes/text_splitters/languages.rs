//! Where LangChain's splitters prefer to cut code and markup, by language.

/// The separators of each language that Flowise offers, in order of preference.
const SEPARATORS: &[(&str, &[&str])] = &[
    (
        "cpp",
        &[
            "\nclass ",
            "\nvoid ",
            "\nint ",
            "\nfloat ",
            "\ndouble ",
            "\nif ",
            "\nfor ",
            "\nwhile ",
            "\nswitch ",
            "\ncase ",
            "\n\n",
            "\n",
            " ",
            "",
        ],
    ),
    (
        "go",
        &[
            "\nfunc ",
            "\nvar ",
            "\nconst ",
            "\ntype ",
            "\nif ",
            "\nfor ",
            "\nswitch ",
            "\ncase ",
            "\n\n",
            "\n",
            " ",
            "",
        ],
    ),
    (
        "java",
        &[
            "\nclass ",
            "\npublic ",
            "\nprotected ",
            "\nprivate ",
            "\nstatic ",
            "\nif ",
            "\nfor ",
            "\nwhile ",
            "\nswitch ",
            "\ncase ",
            "\n\n",
            "\n",
            " ",
            "",
        ],
    ),
    (
        "js",
        &[
            "\nfunction ",
            "\nconst ",
            "\nlet ",
            "\nvar ",
            "\nclass ",
            "\nif ",
            "\nfor ",
            "\nwhile ",
            "\nswitch ",
            "\ncase ",
            "\ndefault ",
            "\n\n",
            "\n",
            " ",
            "",
        ],
    ),
    (
        "php",
        &[
            "\nfunction ",
            "\nclass ",
            "\nif ",
            "\nforeach ",
            "\nwhile ",
            "\ndo ",
            "\nswitch ",
            "\ncase ",
            "\n\n",
            "\n",
            " ",
            "",
        ],
    ),
    (
        "proto",
        &[
            "\nmessage ",
            "\nservice ",
            "\nenum ",
            "\noption ",
            "\nimport ",
            "\nsyntax ",
            "\n\n",
            "\n",
            " ",
            "",
        ],
    ),
    ("python", &["\nclass ", "\ndef ", "\n\tdef ", "\n\n", "\n", " ", ""]),
    ("rst", &["\n===\n", "\n---\n", "\n***\n", "\n.. ", "\n\n", "\n", " ", ""]),
    (
        "ruby",
        &[
            "\ndef ",
            "\nclass ",
            "\nif ",
            "\nunless ",
            "\nwhile ",
            "\nfor ",
            "\ndo ",
            "\nbegin ",
            "\nrescue ",
            "\n\n",
            "\n",
            " ",
            "",
        ],
    ),
    (
        "rust",
        &[
            "\nfn ", "\nconst ", "\nlet ", "\nif ", "\nwhile ", "\nfor ", "\nloop ", "\nmatch ",
            "\nconst ", "\n\n", "\n", " ", "",
        ],
    ),
    (
        "scala",
        &[
            "\nclass ",
            "\nobject ",
            "\ndef ",
            "\nval ",
            "\nvar ",
            "\nif ",
            "\nfor ",
            "\nwhile ",
            "\nmatch ",
            "\ncase ",
            "\n\n",
            "\n",
            " ",
            "",
        ],
    ),
    (
        "swift",
        &[
            "\nfunc ",
            "\nclass ",
            "\nstruct ",
            "\nenum ",
            "\nif ",
            "\nfor ",
            "\nwhile ",
            "\ndo ",
            "\nswitch ",
            "\ncase ",
            "\n\n",
            "\n",
            " ",
            "",
        ],
    ),
    ("markdown", MARKDOWN),
    (
        "latex",
        &[
            "\n\\chapter{",
            "\n\\section{",
            "\n\\subsection{",
            "\n\\subsubsection{",
            "\n\\begin{enumerate}",
            "\n\\begin{itemize}",
            "\n\\begin{description}",
            "\n\\begin{list}",
            "\n\\begin{quote}",
            "\n\\begin{quotation}",
            "\n\\begin{verse}",
            "\n\\begin{verbatim}",
            "\n\\begin{align}",
            "$$",
            "$",
            "\n\n",
            "\n",
            " ",
            "",
        ],
    ),
    (
        "html",
        &[
            "<body>", "<div>", "<p>", "<br>", "<li>", "<h1>", "<h2>", "<h3>", "<h4>", "<h5>",
            "<h6>", "<span>", "<table>", "<tr>", "<td>", "<th>", "<ul>", "<ol>", "<header>",
            "<footer>", "<nav>", "<head>", "<style>", "<script>", "<meta>", "<title>", " ", "",
        ],
    ),
    (
        "sol",
        &[
            "\npragma ",
            "\nusing ",
            "\ncontract ",
            "\ninterface ",
            "\nlibrary ",
            "\nconstructor ",
            "\ntype ",
            "\nfunction ",
            "\nevent ",
            "\nmodifier ",
            "\nerror ",
            "\nstruct ",
            "\nenum ",
            "\nif ",
            "\nfor ",
            "\nwhile ",
            "\ndo while ",
            "\nassembly ",
            "\n\n",
            "\n",
            " ",
            "",
        ],
    ),
];

/// The separators of Markdown: headings from the second level on, the end of a code block, rules.
pub(super) const MARKDOWN: &[&str] = &[
    "\n## ",
    "\n### ",
    "\n#### ",
    "\n##### ",
    "\n###### ",
    "```\n\n",
    "\n\n***\n\n",
    "\n\n---\n\n",
    "\n\n___\n\n",
    "\n\n",
    "\n",
    " ",
    "",
];

/// The names of the languages.
pub(super) const NAMES: &[&str] = &{
    let mut names = [""; SEPARATORS.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = SEPARATORS[at].0;
        at += 1;
    }
    names
};

/// The separators of a language, if there is one of this name.
pub(super) fn separators(language: &str) -> Option<&'static [&'static str]> {
    SEPARATORS.iter().find(|(name, _)| *name == language).map(|(_, separators)| *separators)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_ends_with_a_cut_between_any_two_characters() {
        for name in NAMES {
            assert_eq!(separators(name).unwrap().last(), Some(&""), "{name}");
        }
        assert_eq!((NAMES[0], NAMES[NAMES.len() - 1]), ("cpp", "sol"));
        assert_eq!(separators("cobol"), None);
    }
}
