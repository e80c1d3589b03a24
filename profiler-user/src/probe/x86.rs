//! What the kernel does with a breakpoint on an x86-64 instruction (`arch/x86/kernel/uprobes.c`).
use iced_x86::{Decoder, DecoderOptions, EncodingKind, Instruction};

use super::plan::Price;

/// Prefixes that the kernel refuses: `es`, `cs`, `ss`, `ds`, `lock`.
const REFUSED_PREFIXES: [u8; 5] = [0x26, 0x2e, 0x36, 0x3e, 0xf0];

/// The multi-byte no-operation that newer kernels treat like a jump to the next instruction.
const NOP5: [u8; 5] = [0x0f, 0x1f, 0x44, 0x00, 0x00];

/// Prefixes, then whether `REX` follows, then the opcode.
struct Encoding<'a> {
    prefixes: &'a [u8],
    rex: Option<u8>,
    opcode: &'a [u8],
}

fn split(bytes: &[u8]) -> Encoding<'_> {
    let is_prefix = |byte: &u8| {
        matches!(
            byte,
            0x26 | 0x2e | 0x36 | 0x3e | 0x64 | 0x65 | 0x66 | 0x67 | 0xf0 | 0xf2 | 0xf3
        )
    };
    let end = bytes
        .iter()
        .position(|byte| !is_prefix(byte))
        .unwrap_or(bytes.len());
    let (prefixes, rest) = bytes.split_at(end);
    match rest.split_first() {
        Some((rex @ 0x40..=0x4f, opcode)) => Encoding {
            prefixes,
            rex: Some(*rex),
            opcode,
        },
        Some(_) | None => Encoding {
            prefixes,
            rex: None,
            opcode: rest,
        },
    }
}

/// The first instruction of some code, and its bytes.
pub(super) fn decode(code: &[u8]) -> Option<(Instruction, &[u8])> {
    let instruction = Decoder::new(64, code, DecoderOptions::NONE).decode();
    let encoded = code.get(..instruction.len())?;
    (!instruction.is_invalid()).then_some((instruction, encoded))
}

/// What a breakpoint on this instruction costs per hit.
pub(super) fn price(bytes: &[u8]) -> Price {
    let Encoding {
        prefixes,
        rex,
        opcode,
    } = split(bytes);
    let operand_size = prefixes.contains(&0x66);
    let emulated = match opcode {
        [0x50..=0x57] => prefixes.is_empty() && matches!(rex, None | Some(0x41)),
        [0x90] => rex.is_none(),
        _ if is_relative_branch(opcode) => !operand_size,
        _ => bytes == NOP5,
    };
    if emulated {
        Price::Emulated
    } else {
        Price::SingleStepped
    }
}

/// Whether no breakpoint may lie on this instruction: the kernel refuses it, or executes something else instead.
pub(super) fn is_refused(instruction: &Instruction, bytes: &[u8]) -> bool {
    let Encoding {
        prefixes,
        rex,
        opcode,
    } = split(bytes);
    if prefixes.iter().any(|prefix| REFUSED_PREFIXES.contains(prefix))
        || is_mistaken(instruction, rex, opcode)
    {
        return true;
    }
    if prefixes.contains(&0x66) && is_relative_branch(opcode) {
        return true;
    }
    let one_byte = |opcode| {
        // in, out, ins, outs; int3, int, iret; icebp, hlt, cli, sti.
        matches!(opcode, 0x6c..=0x6f | 0xe4..=0xe7 | 0xec..=0xef | 0xcc | 0xcd | 0xcf | 0xf1 | 0xf4 | 0xfa | 0xfb)
    };
    let two_bytes = |opcode| {
        // lar, lsl, syscall, clts, sysret, invd, wbinvd, ud2; control registers; rdmsr … getsec; vmread; rsm, ud1.
        matches!(opcode, 0x00..=0x0c | 0x24..=0x27 | 0x30 | 0x34..=0x37 | 0x78..=0x7b | 0xaa | 0xb9 | 0xff)
    };
    match opcode {
        [0x0f, second, ..] => two_bytes(*second) || instruction.is_privileged(),
        [first, ..] => one_byte(*first) || instruction.is_privileged(),
        [] => true,
    }
}

/// Whether the kernel takes the instruction for another one. Behind a VEX, EVEX or XOP prefix it looks at the opcode's
/// last byte alone, and so takes `vmovq` for `jle`, `vpor` for `jmp`, `vcmppd` for `ret`. `xchg r8, rax` is `nop` to it.
fn is_mistaken(instruction: &Instruction, rex: Option<u8>, opcode: &[u8]) -> bool {
    instruction.code().encoding() != EncodingKind::Legacy || (rex.is_some() && opcode == [0x90])
}

/// `call`, `jmp` and conditional jumps to a distance.
fn is_relative_branch(opcode: &[u8]) -> bool {
    matches!(
        opcode,
        [0xe8 | 0xe9 | 0xeb | 0x70..=0x7f, ..] | [0x0f, 0x80..=0x8f, ..]
    )
}

#[cfg(test)]
mod tests {
    use iced_x86::{Decoder, DecoderOptions};

    use super::{Price, is_refused, price};

    fn refused(bytes: &[u8]) -> bool {
        let instruction = Decoder::new(64, bytes, DecoderOptions::NONE).decode();
        assert_eq!(instruction.len(), bytes.len(), "{bytes:x?}");
        is_refused(&instruction, bytes)
    }

    #[test]
    fn the_price_is_told_by_the_instruction() {
        let emulated: [&[u8]; 13] = [
            &[0x55],
            &[0x41, 0x57],
            &[0x90],
            &[0x66, 0x90],
            &[0xf3, 0x90],
            &[0x0f, 0x1f, 0x44, 0, 0],
            &[0xeb, 0],
            &[0xe9, 0, 0, 0, 0],
            &[0xf2, 0xe9, 0, 0, 0, 0],
            &[0xe8, 0, 0, 0, 0],
            &[0x74, 0],
            &[0x0f, 0x84, 0, 0, 0, 0],
            &[0x3e, 0x74, 0],
        ];
        for bytes in emulated {
            assert_eq!(price(bytes), Price::Emulated, "{bytes:x?}");
        }
        let stepped: [&[u8]; 9] = [
            &[0xf3, 0x0f, 0x1e, 0xfa],
            &[0x48, 0x55],
            &[0x66, 0x55],
            &[0x41, 0x90],
            &[0x66, 0xe8, 0, 0],
            &[0xc3],
            &[0xff, 0x25, 0, 0, 0, 0],
            &[0x48, 0x89, 0xe5],
            &[0x0f, 0x1f, 0x40, 0],
        ];
        for bytes in stepped {
            assert_eq!(price(bytes), Price::SingleStepped, "{bytes:x?}");
        }
    }

    #[test]
    fn what_the_kernel_refuses_is_known() {
        let refuses: [&[u8]; 7] = [
            &[0xcc],
            &[0xf4],
            &[0xec],
            &[0x0f, 0x05],
            &[0x0f, 0x0b],
            &[0xf0, 0xff, 0x07],
            &[0x2e, 0x90],
        ];
        for bytes in refuses {
            assert!(refused(bytes), "{bytes:x?}");
        }
        // jmp and call to 16 bits, as compilers write them before `__tls_get_addr`, too.
        let narrow: [&[u8]; 3] = [
            &[0x66, 0xeb, 0],
            &[0x66, 0x66, 0x48, 0xe8, 0, 0, 0, 0],
            &[0x66, 0x74, 0],
        ];
        for bytes in narrow {
            assert!(refused(bytes), "{bytes:x?}");
        }
        let takes: [&[u8]; 9] = [
            &[0x55],
            &[0xf3, 0xc3],
            &[0xf3, 0x0f, 0x1e, 0xfa],
            &[0x0f, 0x1f, 0x00],
            &[0x66, 0x90],
            // pop [rax]: its first byte is that of XOP.
            &[0x8f, 0x00],
            // psubsb mm0, mm0; phaddw mm0, mm0; crc32 rax, r8: opcodes of two and three bytes, without VEX.
            &[0x0f, 0xe8, 0xc0],
            &[0x0f, 0x38, 0x01, 0xc0],
            &[0xf2, 0x49, 0x0f, 0x38, 0xf1, 0xc0],
        ];
        for bytes in takes {
            assert!(!refused(bytes), "{bytes:x?}");
        }
    }

    #[test]
    fn what_the_kernel_takes_for_another_instruction_is_left_alone() {
        let mistaken: [&[u8]; 14] = [
            // vmovq rax, xmm0; vpor; vpcmpeqb; vpsubsb; vpminsw; vcmppd; vxorps; vaddsd
            &[0xc4, 0xe1, 0xf9, 0x7e, 0xc0],
            &[0xc5, 0xf9, 0xeb, 0xc1],
            &[0xc5, 0xf9, 0x74, 0xc1],
            &[0xc5, 0xf9, 0xe8, 0xc1],
            &[0xc5, 0xf9, 0xea, 0xc1],
            &[0xc5, 0xf9, 0xc2, 0xc1, 1],
            &[0xc5, 0xf8, 0x57, 0xc1],
            &[0xc5, 0xfb, 0x58, 0xc1],
            // vpbroadcastb zmm0, eax; vzeroupper; andn rax, r8, r8
            &[0x62, 0xf2, 0x7d, 0x48, 0x7a, 0xc0],
            &[0xc5, 0xf8, 0x77],
            &[0xc4, 0xc2, 0xb8, 0xf2, 0xc0],
            // vprotb xmm0, xmm1, xmm2
            &[0x8f, 0xe9, 0x68, 0x90, 0xc1],
            // xchg r8, rax; xchg r8d, eax
            &[0x49, 0x90],
            &[0x41, 0x90],
        ];
        for bytes in mistaken {
            assert!(refused(bytes), "{bytes:x?}");
            assert_eq!(price(bytes), Price::SingleStepped, "{bytes:x?}");
        }
    }
}
