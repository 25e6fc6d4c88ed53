"""The text of a Rust source, taken apart."""

import bisect
import re

from mutation.gate import ROOT


def split_of_layers():
    """How ci/layers tells code from comments and strings."""
    source = (ROOT / "ci/layers").read_text()
    start = source.index("def split(text):")
    names = {"re": re}
    exec(compile(source[start : source.index("\n\n\n", start)], "ci/layers", "exec"), names)
    return names["split"]


def only_for_models(code):
    """The ranges of what is compiled for the model checker alone."""
    for match in re.finditer(r"#\[cfg\(all\(test, loom\)\)\]", code):
        depth = 0
        for i in range(match.end(), len(code)):
            if code[i] in "([{":
                depth += 1
            elif code[i] in ")]}":
                depth -= 1
                if depth == 0 and code[i] == "}" or depth < 0:
                    break
            elif code[i] in ";," and depth == 0:
                break
        yield match.start(), i + 1


TOKEN = re.compile(
    r"'?[A-Za-z_]\w*|\d\w*(?:\.\d\w*)?|<<=|>>=|\.\.\.|\.\.=|&&|\|\||==|!=|<=|>=|=>|->|::|[-+*/%^&|]=|<<|>>|\.\.|\S"
)
WORDS = {"if", "while", "match", "return", "in", "let", "else", "move", "break", "for", "loop", "unsafe", "as", "mut", "ref"}
ENDS = {";", ",", "=>", "=", "->", "PIPE"}
ASSIGN = {"+=", "-=", "*=", "/=", "%=", "^=", "&=", "|=", "<<=", ">>="}
OPEN, CLOSE = set("([{"), set(")]}")
BINARY = {"==", "!=", "<=", ">=", "&&", "||", "<", ">", "+", "/", "%", "<<", ">>", "^", "|", ".", "?"}


class Tokens:
    """The tokens of a file without comments and strings."""

    def __init__(self, code):
        found = [(m.start(), m.end(), m[0]) for m in TOKEN.finditer(code)]
        self.starts, self.ends = [f[0] for f in found], [f[1] for f in found]
        self.kinds = [f[2] for f in found]
        self.code = code
        for i, kind in enumerate(self.kinds):
            if kind not in ("|", "||") or i and self.is_operand(i - 1):
                continue
            # A closure begins.
            self.kinds[i], depth = "PIPE", 0
            for j in range(i + 1, len(self.kinds)) if kind == "|" else ():
                depth += (self.kinds[j] in OPEN) - (self.kinds[j] in CLOSE)
                if self.kinds[j] == "|" and depth == 0:
                    self.kinds[j] = "PIPE"
                    break

    def is_operand(self, i):
        kind = self.kinds[i]
        return kind in CLOSE or kind == "?" or (kind[0].isalnum() or kind[0] == "_") and kind not in WORDS

    def at(self, offset):
        return bisect.bisect_right(self.starts, offset) - 1

    def partner(self, i, step):
        depth = 0
        while 0 <= i < len(self.kinds):
            depth += (self.kinds[i] in OPEN) - (self.kinds[i] in CLOSE)
            if depth == 0:
                return i
            i += step
        return i

    def whole(self, start, end):
        """The range of the whole expression around an operator."""
        first, last = self.at(start), self.at(end - 1)
        stop = ENDS | (set() if self.kinds[first] in ASSIGN else ASSIGN)
        left = first - 1
        while left >= 0:
            kind = self.kinds[left]
            if kind in CLOSE:
                if kind == "}" and self.kinds[left + 1] not in BINARY:
                    break
                left = self.partner(left, -1)
            elif kind in OPEN or kind in stop or kind in WORDS - {"as", "unsafe", "mut"}:
                break
            left -= 1
        right, inside = last + 1, False
        while right < len(self.kinds):
            kind = self.kinds[right]
            if kind in OPEN:
                if kind == "{" and not inside and self.is_operand(right - 1):
                    break
                inside = False
                right = self.partner(right, 1)
            elif kind in CLOSE or kind in stop:
                break
            elif kind in ("match", "if"):
                inside = True
            right += 1
        return self.starts[left + 1], self.ends[right - 1]
