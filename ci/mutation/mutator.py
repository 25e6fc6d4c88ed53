"""The orderings, locks and conditions of the crate, and a switch for each."""

import re
import shutil

from mutation.gate import CRATE, ROOT
from mutation.rust import only_for_models, split_of_layers
from mutation.switches import MORE_SWITCHES, SWITCHES

MUTATED = ["src/node/*.rs", "src/keeper.rs", "src/park.rs"]
# What the checkers themselves need, and a waker of tests.
NOT_MUTATED = {"modelled.rs", "grave.rs", "plain.rs", "hooked_waker.rs", "watched.rs"}
ORDER = re.compile(r"\b(Acquire|Release|AcqRel|SeqCst)\b")
LOCK = re.compile(r"(?m)(?<=^)[ ]*\S+\.lock\.acquire\(\);")


class Mutation:
    def __init__(self, number, place, kind, code):
        self.number, self.place, self.kind = number, place, kind
        self.code = " ".join(code.split())
        self.count = 1

    def is_condition(self):
        return bool(re.match("always|never", self.kind))

    def key(self):
        return f"{self.place} | {self.kind} | {self.code}" + (f" | {self.count}" if self.count > 1 else "")


class Mutator:
    """Gives every place in the sources its switches."""

    def __init__(self):
        self.found, self.split = [], split_of_layers()

    def switch(self, place, kind, code):
        mutation = Mutation(len(self.found) + 1, place, kind, code)
        mutation.count += sum(1 for other in self.found if (other.place, other.kind, other.code) == (place, kind, mutation.code))
        self.found.append(mutation)
        return mutation.number

    def file(self, text, name):
        code, _ = self.split(text)
        for start, end in only_for_models(code):
            code = code[:start] + re.sub(r"\S", " ", code[start:end]) + code[end:]
        edits = []
        functions = [(m.start(), m[1]) for m in re.finditer(r"\bfn\s+(\w+)", code)]

        def place(offset):
            inside = [function for start, function in functions if start < offset]
            return f"{name} {inside[-1]}" if inside else name

        def line(offset):
            return text[text.rfind("\n", 0, offset) + 1 : text.find("\n", offset)].strip()

        for match in ORDER.finditer(code):
            start = code.rfind("\n", 0, match.start()) + 1
            if re.match(r"\s*(pub(\(.*?\))? )?use ", code[start:]) or code[start - 2 : start] == ",\n" and "use " in code[max(0, start - 200) : start].split(";")[-1]:
                continue
            here, weaker = place(match.start()), ["Relaxed"]
            weaker += ["Acquire", "Release"] if match[1] in ("AcqRel", "SeqCst") else []
            switched = match[1]
            for to in weaker:
                number = self.switch(here, f"{match[1]} to {to}", line(match.start()))
                switched = f"crate::mutation::order({number}, {switched}, std::sync::atomic::Ordering::{to})"
            edits.append((match.start(), match.end(), switched))
        for match in LOCK.finditer(code):
            number = self.switch(place(match.start()), "no lock", line(match.start()))
            edits.append((match.start(), match.end(), f"if !crate::mutation::on({number}) {{ {match[0]} }}"))
        edits += self.condition_edits(code, text, place)
        for start, end, new in sorted(edits, reverse=True):
            text = text[:start] + new + text[end:]
        return text

    def condition_edits(self, code, text, place):
        """Conditions of `if` and `while`, the operands of `&&` and `||` anywhere,
        and what a `let` names that is true or false."""
        seen = set()

        def force(start, end):
            while start < end and code[start].isspace():
                start += 1
            while end > start and code[end - 1].isspace():
                end -= 1
            # Without comments.
            operand = code[start:end]
            if not operand or (start, end) in seen:
                return
            seen.add((start, end))
            here = place(start)
            always = self.switch(here, "always true", operand)
            never = self.switch(here, "always false", operand)
            yield (start, start, f"crate::mutation::forced({always}, {never}, ")
            yield (end, end, ")")

        for match in re.finditer(r"\b(if|while) (let Some\(.*?\) = )?", code):
            start = match.end()
            end = self.block_after(code, start)
            if end is None or self.in_macro(code, start):
                continue
            if match[2]:
                here = place(match.start())
                number = self.switch(here, "never Some", code[match.start() : end])
                yield (start, start, f"crate::mutation::never({number}, ")
                yield (end, end, ") ")
                continue
            if code.startswith("let ", start):
                number = self.switch(place(start), "never matches", code[match.start() : end])
                yield (start, start, f"!crate::mutation::on({number}) && ")
                continue
            for operand_start, operand_end in self.operands(code, start, end):
                yield from force(operand_start, operand_end)
        for match in re.finditer(r"\blet Some\([^;]*?\) = ([^;]*?)\s+else \{", code):
            number = self.switch(place(match.start()), "never Some", match[0].removesuffix("{"))
            by_reference = match[1].startswith("&")
            yield (match.start(1), match.start(1), f"crate::mutation::never({number}, " + "(" * by_reference)
            yield (match.end(1), match.end(1), ").as_ref())" if by_reference else ")")
        for match in re.finditer(r"(?<=[\w)\]])\s+(&&|\|\|)\s+(?=[\w!*(&])", code):
            if not self.in_macro(code, match.start()) and not code[: match.start()].endswith("move"):
                start, end = self.extent(code, match.start(1))
                for operand_start, operand_end in self.operands(code, start, end):
                    yield from force(operand_start, operand_end)
        for match in re.finditer(r"\blet (?:mut )?\w+ = ([^;{}]*?(?:\.is_\w+\([^;{}]*?\)|\.get\(\)\.is_null\(\)| [=!]= [^;{}|]*?|has_flag\(\w+\)|let_go\(\)));", code):
            if "&&" not in match[1] and "||" not in match[1] and "then" not in match[1]:
                yield from force(match.start(1), match.end(1))

    @staticmethod
    def in_macro(code, at):
        return "macro_rules" in code[max(0, at - 400) : at] or re.search(r"assert\w*!\([^;]*$", code[max(0, at - 300) : at])

    @staticmethod
    def extent(code, at):
        """The whole chain of `&&` and `||` around a place."""
        depth, start = 0, at
        while start > 0:
            before = code[start - 1]
            if depth == 0 and code[start - 2 : start] in ("&&", "||") and code[start : start + 1] in " \n":
                start -= 2
                continue
            if before in ")]":
                depth += 1
            elif before in "([":
                if depth == 0:
                    break
                depth -= 1
            elif depth == 0 and (before in ";{},|" or code[start - 2 : start + 1] in (" = ", " =\n")):
                break
            elif depth == 0 and re.search(r"\b(if|while|return|match|in)\W$", code[max(0, start - 7) : start + 1]):
                break
            start -= 1
        depth, end = 0, at
        while end < len(code):
            here = code[end]
            unsafe = here == "{" and code[at:end].rstrip().endswith("unsafe")
            if here in "([" or unsafe or here == "{" and depth:
                depth += 1
            elif here == "}" and depth:
                depth -= 1
            elif here in ")]":
                if depth == 0:
                    break
                depth -= 1
            elif depth == 0 and here in ";{},":
                break
            end += 1
        return start, end

    @staticmethod
    def block_after(code, start):
        depth = 0
        for i in range(start, len(code)):
            unsafe = code[i] == "{" and code[start:i].rstrip().endswith("unsafe")
            if code[i] in "([" or unsafe or code[i] == "{" and depth:
                depth += 1
            elif code[i] in ")]" or code[i] == "}" and depth:
                depth -= 1
            elif code[i] == "{":
                return i
            elif code[i] == ";" and depth == 0 or code.startswith("=>", i) and depth == 0:
                return None
        return None

    @staticmethod
    def operands(code, start, end):
        depth, begin, i = 0, start, start
        while i < end:
            if code[i] in "([{":
                depth += 1
            elif code[i] in ")]}":
                depth -= 1
            elif depth == 0 and code[i : i + 2] in ("&&", "||"):
                yield begin, i
                begin = i + 2
                i += 1
            i += 1
        yield begin, end


def switched(root):
    """The mutations there are in the sources below, and each file with its switches."""
    mutator, texts = Mutator(), {}
    for path in sorted(path for pattern in MUTATED for path in (root / CRATE).glob(pattern)):
        if path.name not in NOT_MUTATED:
            texts[path] = mutator.file(path.read_text(), path.name)
    return mutator.found, texts


def mutated_copy(into):
    # The workspace as its manifest has it: each member's folder, and what is beside them.
    members = re.search(r"^members = \[(.*?)\]", (ROOT / "Cargo.toml").read_text(), re.M | re.S)[1]
    folders = sorted({member.split("/")[0] for member in re.findall(r'"([^"]+)"', members)})
    for name in ["Cargo.toml", "Cargo.lock", "README.md", *folders]:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, into / name, symlinks=True, ignore=shutil.ignore_patterns("target"))
        elif source.exists():
            shutil.copy2(source, into / name)
    mutations, texts = switched(into)
    for path, text in texts.items():
        path.write_text(text)
    switches = SWITCHES.replace("COUNT", str(len(mutations)))
    (into / CRATE / "src/mutation.rs").write_text(switches + MORE_SWITCHES)
    lib = into / CRATE / "src/lib.rs"
    text = lib.read_text()
    # A mutation may leave something unused, or compare what it need not.
    text = "#![allow(warnings, unused_braces)]\n" + text.replace("\nmod node;", "\nmod node;\nmod mutation;", 1)
    text = re.sub(r"#!\[(deny|warn)\([^\]]*\)\]\n", "", text)
    # Inner documentation comes first.
    first, rest = text.split("\n", 1)
    docs = re.match(r"(?:\s*//![^\n]*\n)*", rest)[0]
    lib.write_text(docs + first + "\n" + rest[len(docs):])
    manifest = into / CRATE / "Cargo.toml"
    manifest.write_text(manifest.read_text().replace("[lints]\nworkspace = true\n", ""))
    return mutations
