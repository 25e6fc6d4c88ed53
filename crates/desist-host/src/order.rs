//! In which order services start: after whom each comes, as it was said or by its place.

use crate::error::BuildError;

/// After whom a service comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum After {
    /// After all that were added before it, but for such as come after it themselves.
    Earlier,
    /// After these, by name, and nobody else.
    These(Vec<String>),
}

/// Who comes after whom, and a place for each such that it stands behind those.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Order {
    /// The services as they were added, in the order in which they start.
    pub(crate) places: Vec<usize>,
    /// Of each, as it was added, those it comes after.
    pub(crate) after: Vec<Vec<usize>>,
}

pub(crate) fn order(services: &[(&str, &After)]) -> Result<Order, BuildError> {
    let mut after = named(services)?;
    if let Some(circle) = circle(&after) {
        let names = circle.into_iter().map(|index| services[index].0.to_owned()).collect();
        return Err(BuildError::circle(names));
    }
    for (index, (_, wanted)) in services.iter().enumerate() {
        if **wanted == After::Earlier {
            let behind = all_behind(&after, index);
            after[index] = (0..index).filter(|earlier| !behind[*earlier]).collect();
        }
    }
    Ok(Order { places: places(&after), after })
}

fn named(services: &[(&str, &After)]) -> Result<Vec<Vec<usize>>, BuildError> {
    let mut found = Vec::with_capacity(services.len());
    for (index, (name, wanted)) in services.iter().enumerate() {
        if services[..index].iter().any(|(other, _)| other == name) {
            return Err(BuildError::two_of_a_name(name));
        }
        let mut after = Vec::new();
        if let After::These(names) = wanted {
            for before in names {
                let place = services.iter().position(|(other, _)| other == before);
                let Some(place) = place else {
                    let known = services.iter().map(|(name, _)| (*name).to_owned()).collect();
                    return Err(BuildError::unknown(name, before, known));
                };
                if !after.contains(&place) {
                    after.push(place);
                }
            }
        }
        found.push(after);
    }
    Ok(found)
}

/// Those of a circle, if there is one: each comes after the next, the last after the first.
fn circle(after: &[Vec<usize>]) -> Option<Vec<usize>> {
    // Whoever comes after nobody that is left is taken away, until nobody can be.
    let mut is_left = vec![true; after.len()];
    while let Some(free) =
        (0..after.len()).find(|index| is_left[*index] && !after[*index].iter().any(|a| is_left[*a]))
    {
        is_left[free] = false;
    }
    let mut at = is_left.iter().position(|left| *left)?;
    let mut way = Vec::new();
    loop {
        if let Some(begin) = way.iter().position(|seen| *seen == at) {
            return Some(way.split_off(begin));
        }
        way.push(at);
        at = after[at].iter().copied().find(|before| is_left[*before])?;
    }
}

/// Who comes after this one, directly or through others.
fn all_behind(after: &[Vec<usize>], index: usize) -> Vec<bool> {
    let mut behind = vec![false; after.len()];
    behind[index] = true;
    loop {
        let next = (0..after.len())
            .find(|other| !behind[*other] && after[*other].iter().any(|before| behind[*before]));
        match next {
            Some(next) => behind[next] = true,
            None => return behind,
        }
    }
}

/// As they were added, as far as that can be.
fn places(after: &[Vec<usize>]) -> Vec<usize> {
    let mut places = Vec::with_capacity(after.len());
    let mut has_place = vec![false; after.len()];
    while let Some(next) = (0..after.len())
        .find(|index| !has_place[*index] && after[*index].iter().all(|before| has_place[*before]))
    {
        has_place[next] = true;
        places.push(next);
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn these(names: &[&str]) -> After {
        After::These(names.iter().map(ToString::to_string).collect())
    }

    fn of(services: &[(&str, After)]) -> Result<Order, String> {
        let services: Vec<_> = services.iter().map(|(name, after)| (*name, after)).collect();
        order(&services).map_err(|error| error.to_string())
    }

    #[test]
    fn who_says_nothing_comes_after_all_before_it() {
        let order = of(&[("a", After::Earlier), ("b", After::Earlier), ("c", After::Earlier)]);
        let order = order.unwrap();
        assert_eq!(order.places, [0, 1, 2]);
        assert_eq!(order.after, [vec![], vec![0], vec![0, 1]]);
    }

    #[test]
    fn who_says_whom_comes_after_nobody_else() {
        let order = of(&[("a", After::Earlier), ("b", After::Earlier), ("c", these(&["a"]))]);
        assert_eq!(order.unwrap().after[2], [0]);
        let order = of(&[("a", After::Earlier), ("b", these(&[]))]).unwrap();
        assert_eq!(order.after, [vec![], vec![]]);
    }

    /// What is said goes before what is not.
    #[test]
    fn who_is_waited_for_may_be_added_later() {
        let order = of(&[("http", these(&["db"])), ("x", After::Earlier), ("db", After::Earlier)]);
        let order = order.unwrap();
        assert_eq!(order.after[0], [2]);
        assert_eq!(order.after[1], [0], "it comes after http, and so after db");
        assert_eq!(order.after[2], Vec::<usize>::new());
        assert_eq!(order.places, [2, 0, 1]);
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        let twice = of(&[("a", After::Earlier), ("a", After::Earlier)]).unwrap_err();
        assert!(twice.contains("`a`"), "{twice}");
        let unknown = of(&[("a", these(&["bd"])), ("db", After::Earlier)]).unwrap_err();
        assert!(unknown.contains("`a`") && unknown.contains("`bd`") && unknown.contains("`db`"));
        let circle = of(&[
            ("outside", these(&["a"])),
            ("a", these(&["b"])),
            ("b", these(&["c"])),
            ("c", these(&["a"])),
        ]);
        let circle = circle.unwrap_err();
        assert!(circle.contains("`a` after `b` after `c` after `a`"), "{circle}");
        assert!(!circle.contains("outside"), "{circle}");
        let itself = of(&[("a", these(&["a"]))]).unwrap_err();
        assert!(itself.contains("`a` after `a`"), "{itself}");
    }
}
