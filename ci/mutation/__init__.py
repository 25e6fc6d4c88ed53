"""What ci/mutants and ci/loom are made of, each part named by its subject:

  gate           how a gate fails, where it stands, the lists of survivors
  rust           the text of a source, taken apart
  cargo_mutants  the mutants that cargo-mutants finds
  switches       a switch for each of them
  switched_copy  the copy of the crate that has them, compiled
  suite          the tests, and what each of them reaches
  further        who is asked about what the fast tests let pass
  models         the models for loom
  mutator        the orderings, locks and conditions of which ci/loom has mutations
"""
