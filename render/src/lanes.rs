//! Eight floats at a time: one set of operations, with AVX2 and FMA where the processor has them.

/// Which instructions a backend uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Instructions {
    /// Whatever the compiler makes of plain arrays.
    Portable,
    /// Only ever made by [`Instructions::detect`], so that holding it proves that the processor has AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
}

impl Instructions {
    /// The best that this processor has.
    pub(crate) fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
            return Instructions::Avx2;
        }
        Instructions::Portable
    }
}

/// Eight floats.
pub(crate) trait Lanes: Copy {
    /// Eight pixels, one a lane, as little-endian RGBA.
    type Pixels: Copy;

    fn splat(value: f32) -> Self;
    fn load(values: &[f32; 8]) -> Self;
    fn store(self, values: &mut [f32; 8]);
    fn mul(self, other: Self) -> Self;
    /// `self * factor + term`
    fn mul_add(self, factor: Self, term: Self) -> Self;
    /// Eight pixels of eight rows to eight rows of eight pixels: column `i` of the rows is entry `i`.
    fn transpose(rows: [&[u8; 32]; 8]) -> [Self::Pixels; 8];
    /// The byte at bit `SHIFT` of every pixel, 0 to 255.
    fn channel<const SHIFT: i32>(pixels: Self::Pixels) -> Self;
    /// The table's entry for the byte at bit `SHIFT` of every pixel.
    fn lookup<const SHIFT: i32>(pixels: Self::Pixels, table: &[f32; 256]) -> Self;
    /// The sum over the lanes of each of four.
    fn sums(four: [Self; 4]) -> [f32; 4];
    /// Eight bytes as floats.
    fn widen(bytes: &[u8; 8]) -> Self;
    fn add(self, other: Self) -> Self;
    fn div(self, other: Self) -> Self;
    /// No number at all becomes `other`, in `max` as well.
    fn min(self, other: Self) -> Self;
    fn max(self, other: Self) -> Self;
    fn sqrt(self) -> Self;
    /// `yes` in the lanes where `self` is below `limit`, else `no`.
    fn below(self, limit: Self, yes: Self, no: Self) -> Self;
    /// Whole numbers from 0 to 255 that are at most 0.4 above `self`, or one more where `value` has reached the threshold
    /// of that number.
    fn settle(self, value: Self, thresholds: &[f32; 256]) -> Self;
    /// Of two pixels of four channels the last channel in all four.
    fn alphas(self) -> Self;
    /// Two pixels with their last channel from another.
    fn with_alphas(self, alphas: Self) -> Self;
    /// Every float as the nearest byte, clamped.
    fn bytes(self) -> [u8; 8];
    /// The floats of two in turn.
    fn zip(self, other: Self) -> [Self; 2];
    /// Eight RGBA pixels out of four channels of floats, each as the nearest byte, clamped.
    fn interleave(channels: [Self; 4]) -> [u8; 32];
}

/// Plain arrays.
#[derive(Clone, Copy)]
pub(crate) struct Portable([f32; 8]);

impl Lanes for Portable {
    type Pixels = [u32; 8];

    #[inline(always)]
    fn splat(value: f32) -> Self {
        Portable([value; 8])
    }

    #[inline(always)]
    fn load(values: &[f32; 8]) -> Self {
        Portable(*values)
    }

    #[inline(always)]
    fn store(self, values: &mut [f32; 8]) {
        *values = self.0;
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Portable(std::array::from_fn(|i| self.0[i] * other.0[i]))
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, term: Self) -> Self {
        Portable(std::array::from_fn(|i| self.0[i] * factor.0[i] + term.0[i]))
    }

    #[inline(always)]
    fn transpose(rows: [&[u8; 32]; 8]) -> [[u32; 8]; 8] {
        std::array::from_fn(|x| {
            std::array::from_fn(|y| {
                let at = &rows[y][x * 4..x * 4 + 4];
                u32::from_le_bytes([at[0], at[1], at[2], at[3]])
            })
        })
    }

    #[inline(always)]
    fn channel<const SHIFT: i32>(pixels: [u32; 8]) -> Self {
        Portable(pixels.map(|pixel| ((pixel >> SHIFT) & 255) as f32))
    }

    #[inline(always)]
    fn lookup<const SHIFT: i32>(pixels: [u32; 8], table: &[f32; 256]) -> Self {
        Portable(pixels.map(|pixel| table[((pixel >> SHIFT) & 255) as usize]))
    }

    #[inline(always)]
    fn sums(four: [Self; 4]) -> [f32; 4] {
        four.map(|Portable([a, b, c, d, e, f, g, h])| ((a + b) + (c + d)) + ((e + f) + (g + h)))
    }

    #[inline(always)]
    fn widen(bytes: &[u8; 8]) -> Self {
        Portable(bytes.map(f32::from))
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Portable(std::array::from_fn(|i| self.0[i] + other.0[i]))
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        Portable(std::array::from_fn(|i| self.0[i] / other.0[i]))
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        Portable(std::array::from_fn(|i| if self.0[i] < other.0[i] { self.0[i] } else { other.0[i] }))
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        Portable(std::array::from_fn(|i| if self.0[i] > other.0[i] { self.0[i] } else { other.0[i] }))
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        Portable(self.0.map(f32::sqrt))
    }

    #[inline(always)]
    fn below(self, limit: Self, yes: Self, no: Self) -> Self {
        Portable(std::array::from_fn(|i| if self.0[i] < limit.0[i] { yes.0[i] } else { no.0[i] }))
    }

    #[inline(always)]
    fn settle(self, value: Self, thresholds: &[f32; 256]) -> Self {
        Portable(std::array::from_fn(|i| {
            let floor = (self.0[i] + 0.4) as u8;
            f32::from(floor) + f32::from(u8::from(value.0[i] >= thresholds[usize::from(floor)]))
        }))
    }

    #[inline(always)]
    fn alphas(self) -> Self {
        Portable(std::array::from_fn(|i| self.0[i | 3]))
    }

    #[inline(always)]
    fn with_alphas(self, alphas: Self) -> Self {
        Portable(std::array::from_fn(|i| if i % 4 == 3 { alphas.0[i] } else { self.0[i] }))
    }

    #[inline(always)]
    fn bytes(self) -> [u8; 8] {
        self.0.map(|value| (value + 0.5) as u8)
    }

    #[inline(always)]
    fn zip(self, other: Self) -> [Self; 2] {
        let both = |i: usize| if i.is_multiple_of(2) { self.0[i / 2] } else { other.0[i / 2] };
        [Portable(std::array::from_fn(both)), Portable(std::array::from_fn(|i| both(i + 8)))]
    }

    #[inline(always)]
    fn interleave(channels: [Self; 4]) -> [u8; 32] {
        let channels = channels.map(Self::bytes);
        std::array::from_fn(|i| channels[i % 4][i / 4])
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::Lanes;
    use std::arch::x86_64::*;

    /// One AVX register. Used only inside functions with the target features AVX2 and FMA, into which every method
    /// is inlined; they are entered only with `Instructions::Avx2`. That is the safety argument of every block below.
    #[derive(Clone, Copy)]
    pub(crate) struct Avx2(__m256);

    /// Whole numbers from 0 to 255. No closure, nor anything else in here: what is not inlined would be compiled without
    /// the instructions.
    #[inline(always)]
    fn words(lanes: Avx2) -> __m256i {
        // SAFETY: see the type. Beyond what 32 bits hold the conversion would not saturate to the nearer end.
        unsafe {
            let held = _mm256_min_ps(_mm256_max_ps(lanes.0, _mm256_setzero_ps()), _mm256_set1_ps(255.0));
            _mm256_cvtps_epi32(held)
        }
    }

    impl Lanes for Avx2 {
        type Pixels = __m256i;

        #[inline(always)]
        fn splat(value: f32) -> Self {
            // SAFETY: see the type.
            Avx2(unsafe { _mm256_set1_ps(value) })
        }

        #[inline(always)]
        fn load(values: &[f32; 8]) -> Self {
            // SAFETY: see the type; the reference covers the eight floats.
            Avx2(unsafe { _mm256_loadu_ps(values.as_ptr()) })
        }

        #[inline(always)]
        fn store(self, values: &mut [f32; 8]) {
            // SAFETY: see the type; the reference covers the eight floats.
            unsafe { _mm256_storeu_ps(values.as_mut_ptr(), self.0) }
        }

        #[inline(always)]
        fn mul(self, other: Self) -> Self {
            // SAFETY: see the type.
            Avx2(unsafe { _mm256_mul_ps(self.0, other.0) })
        }

        #[inline(always)]
        fn mul_add(self, factor: Self, term: Self) -> Self {
            // SAFETY: see the type.
            Avx2(unsafe { _mm256_fmadd_ps(self.0, factor.0, term.0) })
        }

        #[inline(always)]
        fn transpose(rows: [&[u8; 32]; 8]) -> [__m256i; 8] {
            // SAFETY: see the type; each reference covers the 32 bytes that are loaded.
            unsafe {
                let row = |i: usize| _mm256_loadu_ps(rows[i].as_ptr().cast());
                // Pairs of rows, then fours, then the halves of registers change places.
                let low = |i: usize| _mm256_castps_pd(_mm256_unpacklo_ps(row(i), row(i + 1)));
                let high = |i: usize| _mm256_castps_pd(_mm256_unpackhi_ps(row(i), row(i + 1)));
                let [a, b, c, d] = [low(0), high(0), low(2), high(2)];
                let [e, f, g, h] = [low(4), high(4), low(6), high(6)];
                let top = [
                    _mm256_unpacklo_pd(a, c),
                    _mm256_unpackhi_pd(a, c),
                    _mm256_unpacklo_pd(b, d),
                    _mm256_unpackhi_pd(b, d),
                ];
                let bottom = [
                    _mm256_unpacklo_pd(e, g),
                    _mm256_unpackhi_pd(e, g),
                    _mm256_unpacklo_pd(f, h),
                    _mm256_unpackhi_pd(f, h),
                ];
                let left = |i: usize| _mm256_castpd_si256(_mm256_permute2f128_pd::<0x20>(top[i], bottom[i]));
                let right = |i: usize| _mm256_castpd_si256(_mm256_permute2f128_pd::<0x31>(top[i], bottom[i]));
                [left(0), left(1), left(2), left(3), right(0), right(1), right(2), right(3)]
            }
        }

        #[inline(always)]
        fn channel<const SHIFT: i32>(pixels: __m256i) -> Self {
            // SAFETY: see the type.
            Avx2(unsafe {
                _mm256_cvtepi32_ps(_mm256_and_si256(_mm256_srli_epi32::<SHIFT>(pixels), _mm256_set1_epi32(255)))
            })
        }

        #[inline(always)]
        fn lookup<const SHIFT: i32>(pixels: __m256i, table: &[f32; 256]) -> Self {
            // SAFETY: see the type; every index is one byte, and the table has 256 entries.
            Avx2(unsafe {
                let index = _mm256_and_si256(_mm256_srli_epi32::<SHIFT>(pixels), _mm256_set1_epi32(255));
                _mm256_i32gather_ps::<4>(table.as_ptr(), index)
            })
        }

        #[inline(always)]
        fn sums(four: [Self; 4]) -> [f32; 4] {
            // SAFETY: see the type; the result is sixteen bytes.
            unsafe {
                let [a, b, c, d] = four.map(|lanes| lanes.0);
                let pairs = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
                let sums = _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps::<1>(pairs));
                let mut values = [0.0; 4];
                _mm_storeu_ps(values.as_mut_ptr(), sums);
                values
            }
        }

        #[inline(always)]
        fn widen(bytes: &[u8; 8]) -> Self {
            // SAFETY: see the type.
            Avx2(unsafe {
                let eight = _mm_cvtsi64_si128(i64::from_le_bytes(*bytes));
                _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(eight))
            })
        }

        #[inline(always)]
        fn add(self, other: Self) -> Self {
            // SAFETY: see the type.
            Avx2(unsafe { _mm256_add_ps(self.0, other.0) })
        }

        #[inline(always)]
        fn div(self, other: Self) -> Self {
            // SAFETY: see the type.
            Avx2(unsafe { _mm256_div_ps(self.0, other.0) })
        }

        #[inline(always)]
        fn min(self, other: Self) -> Self {
            // SAFETY: see the type.
            Avx2(unsafe { _mm256_min_ps(self.0, other.0) })
        }

        #[inline(always)]
        fn max(self, other: Self) -> Self {
            // SAFETY: see the type.
            Avx2(unsafe { _mm256_max_ps(self.0, other.0) })
        }

        #[inline(always)]
        fn sqrt(self) -> Self {
            // SAFETY: see the type.
            Avx2(unsafe { _mm256_sqrt_ps(self.0) })
        }

        #[inline(always)]
        fn below(self, limit: Self, yes: Self, no: Self) -> Self {
            // SAFETY: see the type.
            Avx2(unsafe { _mm256_blendv_ps(no.0, yes.0, _mm256_cmp_ps::<_CMP_LT_OQ>(self.0, limit.0)) })
        }

        #[inline(always)]
        fn settle(self, value: Self, thresholds: &[f32; 256]) -> Self {
            // SAFETY: see the type; every index is one byte, and the table has 256 entries.
            Avx2(unsafe {
                let floors = _mm256_cvttps_epi32(_mm256_add_ps(self.0, _mm256_set1_ps(0.4)));
                let floors = _mm256_and_si256(floors, _mm256_set1_epi32(255));
                let thresholds = _mm256_i32gather_ps::<4>(thresholds.as_ptr(), floors);
                let up = _mm256_and_ps(_mm256_cmp_ps::<_CMP_GE_OQ>(value.0, thresholds), _mm256_set1_ps(1.0));
                _mm256_add_ps(_mm256_cvtepi32_ps(floors), up)
            })
        }

        #[inline(always)]
        fn alphas(self) -> Self {
            // SAFETY: see the type.
            Avx2(unsafe { _mm256_permute_ps::<0xFF>(self.0) })
        }

        #[inline(always)]
        fn with_alphas(self, alphas: Self) -> Self {
            // SAFETY: see the type.
            Avx2(unsafe { _mm256_blend_ps::<0x88>(self.0, alphas.0) })
        }

        #[inline(always)]
        fn bytes(self) -> [u8; 8] {
            // SAFETY: see the type; the result is eight bytes.
            unsafe {
                let words = words(self);
                let halves = _mm_packs_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
                let bytes = _mm_packus_epi16(halves, halves);
                _mm_cvtsi128_si64(bytes).to_le_bytes()
            }
        }

        #[inline(always)]
        fn zip(self, other: Self) -> [Self; 2] {
            // SAFETY: see the type.
            unsafe {
                let (low, high) = (_mm256_unpacklo_ps(self.0, other.0), _mm256_unpackhi_ps(self.0, other.0));
                [_mm256_permute2f128_ps::<0x20>(low, high), _mm256_permute2f128_ps::<0x31>(low, high)].map(Avx2)
            }
        }

        #[inline(always)]
        fn interleave(channels: [Self; 4]) -> [u8; 32] {
            // SAFETY: see the type; the result is 32 bytes.
            unsafe {
                let [r, g, b, a] = channels;
                let (r, g, b, a) = (words(r), words(g), words(b), words(a));
                let low = _mm256_or_si256(r, _mm256_slli_epi32::<8>(g));
                let high = _mm256_or_si256(_mm256_slli_epi32::<16>(b), _mm256_slli_epi32::<24>(a));
                let mut pixels = [0; 32];
                _mm256_storeu_si256(pixels.as_mut_ptr().cast(), _mm256_or_si256(low, high));
                pixels
            }
        }
    }
}
