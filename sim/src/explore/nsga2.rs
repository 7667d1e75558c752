//! NSGA-II (Deb et al. 2002): ranks by non-domination, crowding distance, simulated binary crossover
//! and polynomial mutation, with constrained domination. Works on coordinates in [0, 1), one
//! a parameter. Checked against the known fronts of ZDT1 to 3 and DTLZ2. Own code: the crates that
//! have it did not build or bring a plotting stack. Left out: islands, adaptive operators.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::methods::unit;

/// Distribution indices and probability of crossover, as in the paper's experiments.
const CROSSOVER_ETA: f64 = 20.0;
const CROSSOVER: f64 = 0.9;
const MUTATION_ETA: f64 = 20.0;

/// A design with what is known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Individual {
    /// Coordinates.
    pub x: Vec<f64>,
    /// Objectives, smaller is better.
    pub f: Vec<f64>,
    /// How far it violates its constraints, 0 where it doesn't.
    pub violation: f64,
}

/// The state of a search.
#[derive(Debug)]
pub struct Nsga2 {
    random: ChaCha8Rng,
    population: usize,
    /// Parameters whose values have no order.
    unordered: Vec<bool>,
}

impl Nsga2 {
    /// A search; `unordered` says for each parameter whether its values have no order.
    pub fn new(seed: u64, population: usize, unordered: Vec<bool>) -> Self {
        Self { random: ChaCha8Rng::seed_from_u64(seed), population, unordered }
    }

    /// A design drawn at random.
    pub fn draw(&mut self) -> Vec<f64> {
        (0..self.unordered.len()).map(|_| unit(&mut self.random)).collect()
    }

    /// Keeps the best of a pool, best ranks first.
    pub fn select(&self, pool: Vec<Individual>) -> Vec<Individual> {
        let ranks = ranks(&pool);
        let mut order: Vec<usize> = Vec::with_capacity(pool.len());
        let mut front = 0;
        while order.len() < self.population.min(pool.len()) {
            let members: Vec<usize> = (0..pool.len()).filter(|i| ranks[*i] == front).collect();
            let distances = crowding(&pool, &members);
            let mut members: Vec<(usize, f64)> = members.into_iter().zip(distances).collect();
            members.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            order.extend(members.into_iter().map(|(index, _)| index));
            front += 1;
        }
        order.truncate(self.population);
        let mut pool: Vec<Option<Individual>> = pool.into_iter().map(Some).collect();
        order.into_iter().filter_map(|index| pool[index].take()).collect()
    }

    /// Two children of a selected population (best first, as [`Nsga2::select`] returns it).
    pub fn children(&mut self, parents: &[Individual]) -> [Vec<f64>; 2] {
        let ranks = ranks(parents);
        self.children_of(parents, &ranks)
    }

    /// As many children as asked for.
    pub fn offspring(&mut self, parents: &[Individual], count: usize) -> Vec<Vec<f64>> {
        let ranks = ranks(parents);
        let mut all = Vec::with_capacity(count + 1);
        while all.len() < count {
            all.extend(self.children_of(parents, &ranks));
        }
        all.truncate(count);
        all
    }

    fn children_of(&mut self, parents: &[Individual], ranks: &[usize]) -> [Vec<f64>; 2] {
        let a = self.winner(parents.len(), ranks);
        let b = self.winner(parents.len(), ranks);
        let mut children = [parents[a].x.clone(), parents[b].x.clone()];
        let crossed = unit(&mut self.random) < CROSSOVER;
        let dimensions = self.unordered.len();
        for i in 0..dimensions {
            let (x, y) = (children[0][i], children[1][i]);
            if crossed && unit(&mut self.random) < 0.5 {
                let (first, second) = if self.unordered[i] { (y, x) } else { self.crossed(x, y) };
                (children[0][i], children[1][i]) = (first, second);
            }
            for child in &mut children {
                if unit(&mut self.random) < 1.0 / dimensions as f64 {
                    child[i] = self.mutated(child[i], self.unordered[i]);
                }
            }
        }
        children
    }

    /// A tournament of two: parents come best first within a rank.
    fn winner(&mut self, count: usize, ranks: &[usize]) -> usize {
        let mut pick = || ((unit(&mut self.random) * count as f64) as usize).min(count - 1);
        let (a, b) = (pick(), pick());
        if (ranks[a], a) <= (ranks[b], b) { a } else { b }
    }

    /// Simulated binary crossover within bounds.
    fn crossed(&mut self, x: f64, y: f64) -> (f64, f64) {
        let (low, high) = (x.min(y), x.max(y));
        if high - low < 1e-14 {
            return (x, y);
        }
        let draw = unit(&mut self.random);
        let spread = |room: f64| {
            let beta = 1.0 + 2.0 * room / (high - low);
            let alpha = 2.0 - libm::pow(beta, -(CROSSOVER_ETA + 1.0));
            let power = 1.0 / (CROSSOVER_ETA + 1.0);
            if draw <= 1.0 / alpha {
                libm::pow(draw * alpha, power)
            } else {
                libm::pow(1.0 / (2.0 - draw * alpha), power)
            }
        };
        let middle = f64::midpoint(low, high);
        let half = (high - low) / 2.0;
        let first = bounded(middle - spread(low) * half);
        let second = bounded(middle + spread(1.0 - high) * half);
        if unit(&mut self.random) < 0.5 { (first, second) } else { (second, first) }
    }

    /// Polynomial mutation; a new draw where values have no order.
    fn mutated(&mut self, x: f64, unordered: bool) -> f64 {
        let draw = unit(&mut self.random);
        if unordered {
            return draw;
        }
        let power = 1.0 / (MUTATION_ETA + 1.0);
        let step = if draw < 0.5 {
            let room = libm::pow(1.0 - x, MUTATION_ETA + 1.0);
            libm::pow(2.0 * draw + (1.0 - 2.0 * draw) * room, power) - 1.0
        } else {
            let room = libm::pow(x, MUTATION_ETA + 1.0);
            1.0 - libm::pow(2.0 * (1.0 - draw) + 2.0 * (draw - 0.5) * room, power)
        };
        bounded(x + step)
    }
}

const fn bounded(x: f64) -> f64 {
    x.clamp(0.0, 1.0)
}

/// Whether one is better: meets constraints more nearly, or is no worse in any objective and better
/// in one.
pub fn dominates(a: &Individual, b: &Individual) -> bool {
    if a.violation > 0.0 || b.violation > 0.0 {
        return a.violation < b.violation;
    }
    let mut better = false;
    for (x, y) in a.f.iter().zip(&b.f) {
        if x > y {
            return false;
        }
        better |= x < y;
    }
    better
}

/// Fronts by number, the best 0.
fn ranks(pool: &[Individual]) -> Vec<usize> {
    let mut above = vec![0_usize; pool.len()];
    let mut below: Vec<Vec<usize>> = vec![Vec::new(); pool.len()];
    for i in 0..pool.len() {
        for j in i + 1..pool.len() {
            if dominates(&pool[i], &pool[j]) {
                below[i].push(j);
                above[j] += 1;
            } else if dominates(&pool[j], &pool[i]) {
                below[j].push(i);
                above[i] += 1;
            }
        }
    }
    let mut ranks = vec![0; pool.len()];
    let mut front: Vec<usize> = (0..pool.len()).filter(|i| above[*i] == 0).collect();
    let mut number = 0;
    while !front.is_empty() {
        let mut next = Vec::new();
        for &i in &front {
            ranks[i] = number;
            for &j in &below[i] {
                above[j] -= 1;
                if above[j] == 0 {
                    next.push(j);
                }
            }
        }
        next.sort_unstable();
        front = next;
        number += 1;
    }
    ranks
}

fn crowding(pool: &[Individual], members: &[usize]) -> Vec<f64> {
    let mut distances = vec![0.0; members.len()];
    let objectives = members.first().map_or(0, |i| pool[*i].f.len());
    let mut order: Vec<usize> = (0..members.len()).collect();
    for objective in 0..objectives {
        let of = |at: usize| pool[members[at]].f[objective];
        order.sort_by(|a, b| of(*a).total_cmp(&of(*b)).then(a.cmp(b)));
        let (Some(first), Some(last)) = (order.first(), order.last()) else { continue };
        let width = of(*last) - of(*first);
        distances[*first] = f64::INFINITY;
        distances[*last] = f64::INFINITY;
        if width > 0.0 {
            for three in order.windows(3) {
                distances[three[1]] += (of(three[2]) - of(three[0])) / width;
            }
        }
    }
    distances
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(dims: usize, generations: usize, f: impl Fn(&[f64]) -> Vec<f64>) -> Vec<Vec<f64>> {
        let mut search = Nsga2::new(7, 100, vec![false; dims]);
        let rate = |x: Vec<f64>| Individual { f: f(&x), x, violation: 0.0 };
        let first: Vec<Individual> = (0..100).map(|_| rate(search.draw())).collect();
        let mut parents = search.select(first);
        for _ in 0..generations {
            let mut pool: Vec<Individual> =
                search.offspring(&parents, 100).into_iter().map(&rate).collect();
            pool.append(&mut parents);
            parents = search.select(pool);
        }
        let ranks = ranks(&parents);
        parents.into_iter().zip(ranks).filter(|(_, r)| *r == 0).map(|(i, _)| i.f).collect()
    }

    /// Area that two objectives dominate up to a reference point.
    fn hypervolume(mut front: Vec<Vec<f64>>, reference: [f64; 2]) -> f64 {
        front.sort_by(|a, b| a[0].total_cmp(&b[0]));
        let (mut area, mut height) = (0.0, reference[1]);
        for point in front {
            if point[0] < reference[0] && point[1] < height {
                area += (reference[0] - point[0]) * (height - point[1]);
                height = point[1];
            }
        }
        area
    }

    fn tail(x: &[f64]) -> f64 {
        1.0 + 9.0 * x[1..].iter().sum::<f64>() / (x.len() - 1) as f64
    }

    /// Zitzler, Deb and Thiele's problems in 30 dimensions: what the true fronts dominate up to
    /// (1.1, 1.1) is 1.21 less the area under them.
    #[test]
    fn zdt_fronts_are_found() {
        let sqrt = |x: &[f64]| {
            let g = tail(x);
            vec![x[0], g * (1.0 - (x[0] / g).sqrt())]
        };
        let square = |x: &[f64]| {
            let g = tail(x);
            vec![x[0], g * (1.0 - (x[0] / g) * (x[0] / g))]
        };
        for (found, truth) in
            [(search(30, 250, sqrt), 1.21 - 1.0 / 3.0), (search(30, 250, square), 1.21 - 2.0 / 3.0)]
        {
            let volume = hypervolume(found, [1.1, 1.1]);
            assert!(volume > truth - 0.012 && volume <= truth, "{volume} of {truth}");
        }
        let waves = |x: &[f64]| {
            let g = tail(x);
            let h = x[0] / g;
            let wave = h * (10.0 * std::f64::consts::PI * x[0]).sin();
            vec![x[0], g * (1.0 - h.sqrt() - wave)]
        };
        let truth: Vec<Vec<f64>> = (0..=100_000)
            .map(|i| {
                let x = f64::from(i) / 100_000.0;
                vec![x, 1.0 - x.sqrt() - x * (10.0 * std::f64::consts::PI * x).sin()]
            })
            .collect();
        let (volume, truth) =
            (hypervolume(search(30, 250, waves), [1.1, 1.1]), hypervolume(truth, [1.1, 1.1]));
        assert!(volume > truth - 0.02 && volume <= truth + 1e-9, "{volume} of {truth}");
    }

    /// Three objectives on an eighth of a sphere (DTLZ2): every point of the front lies on it.
    #[test]
    fn dtlz2_front_is_a_sphere() {
        let half_pi = std::f64::consts::FRAC_PI_2;
        let sphere = |x: &[f64]| {
            let g: f64 = x[2..].iter().map(|x| (x - 0.5) * (x - 0.5)).sum();
            let (a, b) = (x[0] * half_pi, x[1] * half_pi);
            vec![(1.0 + g) * a.cos() * b.cos(), (1.0 + g) * a.cos() * b.sin(), (1.0 + g) * a.sin()]
        };
        let front = search(12, 250, sphere);
        let radius = |p: &Vec<f64>| p.iter().map(|x| x * x).sum::<f64>().sqrt();
        let mean = front.iter().map(radius).sum::<f64>() / front.len() as f64;
        assert!((1.0..1.05).contains(&mean), "{mean}");
        // Spread out: monte carlo estimate of what is dominated up to (1.1, 1.1, 1.1).
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let dominated = (0..20_000)
            .filter(|_| {
                let at: [f64; 3] = std::array::from_fn(|_| 1.1 * unit(&mut random));
                front.iter().any(|p| p.iter().zip(at).all(|(x, y)| *x <= y))
            })
            .count();
        let volume = dominated as f64 / 20_000.0 * 1.331;
        let truth = 1.331 - std::f64::consts::PI / 6.0;
        // A hundred points cannot fill a surface, and crowding spreads them unevenly in three
        // dimensions; a front of one region alone stays below seven tenths.
        assert!(volume > truth * 0.83 && volume < truth * 1.01, "{volume} of {truth}");
    }

    #[test]
    fn constraints_come_first() {
        let of = |f: f64, violation| Individual { x: vec![], f: vec![f], violation };
        assert!(dominates(&of(9.0, 0.0), &of(1.0, 0.1)));
        assert!(dominates(&of(9.0, 0.1), &of(1.0, 0.2)));
        assert!(dominates(&of(1.0, 0.0), &of(9.0, 0.0)));
        assert!(!dominates(&of(1.0, 0.0), &of(1.0, 0.0)));
    }
}
