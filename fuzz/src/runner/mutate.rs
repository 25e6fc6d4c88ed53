//! Inputs from inputs.

/// No input grows above this.
const LONGEST: usize = 600;

/// A small generator of numbers; a seed gives the same ones in every run.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[5]
    }

    /// From 0 to this, both included.
    fn up_to(&mut self, most: usize) -> usize {
        let number = self.next() % (most as u64 + 1);
        usize::try_from(number).expect("not above a usize")
    }

    /// Some of these places, in one piece.
    fn piece(&mut self, length: usize) -> std::ops::Range<usize> {
        let begin = self.up_to(length);
        let end = (begin + 1 + self.up_to(15)).min(length);
        begin..end
    }
}

/// A new input from one of these, or from nothing.
pub(crate) fn mutant(corpus: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let one = |random: &mut Random| -> &[u8] {
        if corpus.is_empty() { &[] } else { &corpus[random.up_to(corpus.len() - 1)] }
    };
    let mut data = one(random).to_vec();
    for _ in 0..=random.up_to(7) {
        let at = random.up_to(data.len());
        match random.up_to(6) {
            0 => {
                if let Some(byte) = data.get_mut(at) {
                    *byte ^= 1 << random.up_to(7);
                }
            }
            1 => {
                if let Some(byte) = data.get_mut(at) {
                    *byte = random.byte();
                }
            }
            2 => {
                let bytes: Vec<u8> = (0..=random.up_to(5)).map(|_| random.byte()).collect();
                data.splice(at..at, bytes);
            }
            3 => drop(data.drain(random.piece(data.len()))),
            4 => {
                let other = one(random);
                let piece = other[random.piece(other.len())].to_vec();
                data.splice(at..at, piece);
            }
            5 => {
                let piece = data[random.piece(data.len())].repeat(1 + random.up_to(3));
                data.splice(at..at, piece);
            }
            _ => {
                // The end of another one takes the place of its own.
                let other = one(random);
                data.truncate(at);
                data.extend(&other[random.up_to(other.len())..]);
            }
        }
        data.truncate(LONGEST);
    }
    data
}

/// For names of files.
pub(crate) fn hash(data: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    data.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_mutants_and_many_different_ones() {
        let corpus = [vec![1, 2, 3, 4, 5, 6, 7, 8], vec![], vec![9; 300]];
        let mutants = |seed| -> Vec<Vec<u8>> {
            let mut random = Random::seeded(seed);
            (0..2_000).map(|_| mutant(&corpus, &mut random)).collect()
        };
        let first = mutants(1);
        assert_eq!(first, mutants(1));
        assert_ne!(first, mutants(2));
        assert!(first.iter().all(|data| data.len() <= LONGEST));
        let different: std::collections::BTreeSet<_> = first.iter().collect();
        assert!(different.len() > 1_200, "{} different ones", different.len());
    }
}
