use super::*;

/// How the simulated machine varies, as standard deviations of logarithms.
#[derive(Clone, Copy)]
struct Machine {
    /// From run to run.
    run: f64,
    /// From round to round.
    round: f64,
    /// From request to request.
    request: f64,
    /// One request in this many takes longer, by up to this many milliseconds.
    straggler: (usize, f64),
}

/// A laptop.
const QUIET: Machine = Machine { run: 0.05, round: 0.05, request: 0.25, straggler: (200, 5.0) };
/// A virtual machine that shares its CPUs.
const NOISY: Machine = Machine { run: 0.12, round: 0.12, request: 0.45, straggler: (20, 5.0) };
/// A machine that compiles meanwhile.
const LOADED: Machine = Machine { run: 0.1, round: 0.1, request: 0.3, straggler: (8, 30.0) };

/// The load of a run.
#[derive(Clone, Copy)]
struct Load {
    routes: usize,
    rounds: usize,
    requests: usize,
}

fn normal(random: &mut fastrand::Rng) -> f64 {
    let (radius, angle) = (1.0 - random.f64(), random.f64() * std::f64::consts::TAU);
    (-2.0 * radius.ln()).sqrt() * angle.cos()
}

/// The times of each route, by round. The first route takes `first_ms` milliseconds, all others 0.3 ms and more.
fn run(machine: Machine, load: Load, first_ms: (f64, f64), random: &mut fastrand::Rng) -> Vec<Vec<Vec<u64>>> {
    let shift = machine.run * normal(random);
    let rounds: Vec<f64> = (0..load.rounds).map(|_| shift + machine.round * normal(random)).collect();
    let of_route = |route: usize, random: &mut fastrand::Rng| {
        let (base, extra) = if route == 0 { first_ms } else { (0.3 * 1.3_f64.powi((route % 14) as i32), 0.0) };
        let mut of_round = |shift: &f64| {
            let own = shift + machine.round / 2.0 * normal(random);
            let mut time = || {
                let late =
                    if random.usize(..machine.straggler.0) == 0 { random.f64() * machine.straggler.1 } else { 0.0 };
                ((base * (own + machine.request * normal(random)).exp() + late + extra) * 1e6) as u64
            };
            (0..load.requests).map(|_| time()).collect()
        };
        rounds.iter().map(&mut of_round).collect()
    };
    (0..load.routes).map(|route| of_route(route, random)).collect()
}

/// Compares runs in which the first route changes between two times: how many of the comparisons show `direction` for
/// the first route, and how many show any change for the others.
fn changes(machine: Machine, load: Load, ms: (f64, f64), direction: Direction, comparisons: usize) -> (usize, usize) {
    let mut random = fastrand::Rng::with_seed(42);
    let (mut first, mut others) = (0, 0);
    for _ in 0..comparisons {
        let before = run(machine, load, (ms.0, 0.0), &mut random);
        let after = run(machine, load, (ms.0.min(ms.1), (ms.1 - ms.0).max(0.0)), &mut random);
        let row = |(before, after): (&Vec<Vec<u64>>, &Vec<Vec<u64>>)| {
            compare(before, after, load.routes).expect("enough to tell").direction
        };
        let mut directions = before.iter().zip(&after).map(row);
        first += usize::from(directions.next() == Some(direction));
        others += usize::from(directions.any(|direction| direction != Direction::NoChange));
    }
    (first, others)
}

const LOADS: [Load; 6] = [
    Load { routes: 8, rounds: 1, requests: 10 },
    Load { routes: 8, rounds: 1, requests: 100 },
    Load { routes: 40, rounds: 1, requests: 10 },
    Load { routes: 8, rounds: 3, requests: 3 },
    Load { routes: 40, rounds: 5, requests: 5 },
    Load { routes: 8, rounds: 10, requests: 10 },
];

const COMPARISONS: usize = 100;

#[test]
fn where_nothing_changed_no_row_of_a_run_tells_a_change() {
    for machine in [QUIET, NOISY, LOADED] {
        for load in LOADS {
            let (first, others) = changes(machine, load, (0.3, 0.3), Direction::NoChange, COMPARISONS);
            let clean = first - others;
            assert!(clean >= COMPARISONS - 3, "{clean} {}x{}x{}", load.routes, load.rounds, load.requests);
        }
    }
}

#[test]
fn five_milliseconds_more_are_slower_and_five_less_faster() {
    for (machine, least) in
        [(QUIET, COMPARISONS * 99 / 100), (NOISY, COMPARISONS * 7 / 10), (LOADED, COMPARISONS * 7 / 10)]
    {
        for load in LOADS {
            for (ms, direction) in
                [((0.3, 5.3), Direction::Slower), ((2.0, 7.0), Direction::Slower), ((5.3, 0.3), Direction::Faster)]
            {
                let (first, _) = changes(machine, load, ms, direction, COMPARISONS);
                let of = (load.routes, load.rounds, load.requests);
                assert!(first >= least, "{first} {of:?} {ms:?}");
            }
        }
    }
}

#[test]
fn too_few_values_tell_nothing() {
    let few: Vec<Vec<u64>> = vec![vec![1_000_000; 4]];
    let many = vec![vec![9_000_000; 50]];
    assert_eq!(compare(&few, &many, 1), None);
    assert_eq!(compare(&many, &[], 1), None);
    // One value a round, like tests.
    let rounds = |ms: u64| -> Vec<Vec<u64>> { (0..3).map(|round| vec![ms * 1_000_000 + round]).collect() };
    assert_eq!(compare(&rounds(10), &rounds(40), 1).expect("three rounds").direction, Direction::Slower);
    assert_eq!(compare(&rounds(10), &rounds(40)[..2], 1), None);
}

#[test]
fn the_interval_holds_the_difference_and_extremes_are_no_harm() {
    let side = |ms: u64| vec![(0..20).map(|n| ms * 1_000_000 + n).collect::<Vec<u64>>()];
    let change = compare(&side(10), &side(20), 1).expect("enough");
    let (low, high) = change.interval_ns;
    assert!(low < 1e7 && 1e7 < high && low > 0.0, "{change:?}");
    assert!((change.baseline_ns - 1e7).abs() < 1e3 && (change.now_ns - 2e7).abs() < 1e3, "{change:?}");
    let same = compare(&side(10), &side(10), 1000).expect("enough");
    assert_eq!(same.direction, Direction::NoChange);
    for extreme in [0, u64::MAX] {
        let change = compare(&[vec![extreme; 9]], &side(1), usize::MAX);
        assert!(change.is_none_or(|change| change.interval_ns.1.is_finite()), "{change:?}");
    }
}
