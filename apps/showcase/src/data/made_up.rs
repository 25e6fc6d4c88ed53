//! Documents that nobody wrote: the same for the same number.

use super::New;

const WORDS: [&str; 64] = [
    "anchor", "amber", "autumn", "bakery", "barley", "basket", "beacon", "birch", "bottle",
    "bridge", "candle", "canvas", "cellar", "chapel", "cinder", "clover", "copper", "cradle",
    "dapple", "ember", "falcon", "feather", "ferry", "flint", "garden", "ginger", "granite",
    "hammer", "harbour", "hazel", "heather", "island", "ivory", "jasper", "juniper", "kettle",
    "ladder", "lantern", "lattice", "linen", "marble", "meadow", "millet", "mirror", "nettle",
    "orchard", "otter", "paper", "pepper", "pewter", "pillar", "quarry", "ribbon", "saddle",
    "saffron", "shutter", "silver", "thistle", "timber", "tunnel", "velvet", "walnut", "willow",
    "winter",
];

pub(crate) fn made_up(series: &str, number: u64) -> New {
    let mut dice = Dice(number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut some = |many: usize| {
        let words: Vec<_> = (0..many).map(|_| dice.word()).collect();
        words.join(" ")
    };
    let (title, text) = (some(3), some(24));
    New { key: format!("{series} {number}"), title, text }
}

/// The xorshift of Marsaglia: any would do.
struct Dice(u64);

impl Dice {
    fn word(&mut self) -> &'static str {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        WORDS[(self.0 >> 32) as usize % WORDS.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_number_gives_the_same_and_another_another() {
        let [one, again, other] = [1, 1, 2].map(|number| made_up("first", number));
        assert_eq!((&one.key, &one.title, &one.text), (&again.key, &again.title, &again.text));
        assert!(one.key != other.key && one.text != other.text);
        assert_eq!(one.text.split(' ').count(), 24);
    }
}
