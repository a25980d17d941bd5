/* Where calls of caught functions of libopus arrive. Each hook offers its arguments to Rust
   (src/hooks.rs); what Rust does not take goes to libopus' own function. The layouts that Rust
   knows are checked here when this is compiled. */
#include <stddef.h>
#include <stdint.h>

#include "main.h"
#include "main_FLP.h"
#include "tables.h"

#define CHECK(condition) _Static_assert(condition, "opus-lanes: libopus has another layout: " #condition)

CHECK(sizeof(opus_int) == 4 && sizeof(opus_int32) == 4 && sizeof(silk_float) == 4);
CHECK(offsetof(silk_nsq_state, xq) == 0);
CHECK(offsetof(silk_nsq_state, sLTP_shp_Q14) == 1280);
CHECK(offsetof(silk_nsq_state, sLPC_Q14) == 3840);
CHECK(offsetof(silk_nsq_state, sAR2_Q14) == 4224);
CHECK(offsetof(silk_nsq_state, sLF_AR_shp_Q14) == 4320);
CHECK(offsetof(silk_nsq_state, sDiff_shp_Q14) == 4324);
CHECK(offsetof(silk_nsq_state, lagPrev) == 4328);
CHECK(offsetof(silk_nsq_state, sLTP_buf_idx) == 4332);
CHECK(offsetof(silk_nsq_state, sLTP_shp_buf_idx) == 4336);
CHECK(offsetof(silk_nsq_state, rand_seed) == 4340);
CHECK(offsetof(silk_nsq_state, prev_gain_Q16) == 4344);
CHECK(offsetof(silk_nsq_state, rewhite_flag) == 4348);
CHECK(sizeof(silk_nsq_state) == 4352);
CHECK(offsetof(SideInfoIndices, signalType) == 29);
CHECK(offsetof(SideInfoIndices, quantOffsetType) == 30);
CHECK(offsetof(SideInfoIndices, NLSFInterpCoef_Q2) == 31);
CHECK(offsetof(SideInfoIndices, Seed) == 34);
CHECK(sizeof(SideInfoIndices) == 36);
CHECK(MAX_LPC_ORDER == 16 && MAX_SHAPE_LPC_ORDER == 24 && LTP_ORDER == 5 && DECISION_DELAY == 40);
CHECK(NSQ_LPC_BUF_LENGTH == 16 && HARM_SHAPE_FIR_TAPS == 3 && MAX_NB_SUBFR == 4 && TYPE_VOICED == 2);
CHECK(LSF_COS_TAB_SZ_FIX == 128 && NLSF_QUANT_MAX_AMPLITUDE == 4 && NLSF_QUANT_MAX_AMPLITUDE_EXT == 10);
CHECK(NLSF_QUANT_DEL_DEC_STATES == 4);

/* Kinds of calls that wait to be run with others of their kind: src/hooks.rs. */
enum { QUANTISER = 0, WARPED_AUTOCORRELATION = 1, ONE_STATE = 2 };

/* Mirrors hooks::Quantiser. */
typedef struct {
    const silk_encoder_state *encoder;
    silk_nsq_state *nsq;
    SideInfoIndices *indices;
    const opus_int16 *x16;
    opus_int8 *pulses;
    const opus_int16 *lpc, *ltp, *ar;
    const opus_int *harmonic, *tilt;
    const opus_int32 *lf, *gains;
    const opus_int *lags;
    opus_int32 lambda, ltp_scale, shaping_order, warping, subframe, lpc_order;
} quantiser;

/* Mirrors hooks::Warped. */
typedef struct {
    silk_float *correlations;
    const silk_float *input;
    silk_float warping;
    opus_int32 length, order;
} warped;

extern int opus_lanes_wait(int kind, void *call);
extern int opus_lanes_a2nlsf(opus_int16 *nlsf, const opus_int32 *a);
extern int opus_lanes_trellis_ready(void);
extern void opus_lanes_trellis(int survivors, opus_int8 *indices, opus_int32 *distortions, const opus_int16 *residuals,
    const opus_int16 *weights, const opus_uint8 *predictors, const opus_int16 *rate_rows, const opus_uint8 *rates,
    int step, int inverse_step, int mu);
extern int opus_lanes_ltp_search(opus_int8 *index, opus_int32 *residual, opus_int32 *distortion, opus_int *gain,
    const opus_int32 *matrix, const opus_int32 *vector, const opus_int8 *codebook, const opus_uint8 *gains,
    const opus_uint8 *lengths, int subframe, opus_int32 max_gain, int entries);

#define NSQ_PARAMETERS const silk_encoder_state *e, silk_nsq_state *n, SideInfoIndices *i, const opus_int16 x[], \
    opus_int8 p[], const opus_int16 *a, const opus_int16 b[LTP_ORDER * MAX_NB_SUBFR],                         \
    const opus_int16 ar[MAX_NB_SUBFR * MAX_SHAPE_LPC_ORDER], const opus_int h[MAX_NB_SUBFR],                   \
    const opus_int t[MAX_NB_SUBFR], const opus_int32 lf[MAX_NB_SUBFR], const opus_int32 g[MAX_NB_SUBFR],       \
    const opus_int l[MAX_NB_SUBFR], const opus_int la, const opus_int s

#define NSQ_ARGUMENTS e, n, i, x, p, a, b, ar, h, t, lf, g, l, la, s

/* Whether Rust took the call. */
static int quantised(int kind, NSQ_PARAMETERS)
{
    quantiser call = { e, n, i, x, p, a, b, ar, h, t, lf, g, l, la, s, e->shapingLPCOrder, e->warping_Q16,
        e->subfr_length, e->predictLPCOrder };
    if (e->nb_subfr != 4 || e->shapingLPCOrder > 16 || e->ltp_mem_length != 4 * e->subfr_length) return 0;
    if (!(e->subfr_length == 40 && e->predictLPCOrder == 10) && !(e->subfr_length == 80 && e->predictLPCOrder == 16))
        return 0;
    return opus_lanes_wait(kind, &call);
}

void opus_lanes_hook_silk_NSQ_del_dec_c(NSQ_PARAMETERS)
{
    if (e->nStatesDelayedDecision != 2 || !quantised(QUANTISER, NSQ_ARGUMENTS)) silk_NSQ_del_dec_c(NSQ_ARGUMENTS);
}

void opus_lanes_hook_silk_NSQ_c(NSQ_PARAMETERS)
{
    if (!quantised(ONE_STATE, NSQ_ARGUMENTS)) silk_NSQ_c(NSQ_ARGUMENTS);
}

void opus_lanes_hook_silk_NSQ_sse4_1(NSQ_PARAMETERS)
{
    if (!quantised(ONE_STATE, NSQ_ARGUMENTS)) silk_NSQ_sse4_1(NSQ_ARGUMENTS);
}

#define QUANTISER_ARGUMENTS c->encoder, c->nsq, c->indices, c->x16, c->pulses, c->lpc, c->ltp, c->ar, c->harmonic, \
    c->tilt, c->lf, c->gains, c->lags, c->lambda, c->ltp_scale

void opus_lanes_plain_quantiser(quantiser *c)
{
    silk_NSQ_del_dec_c(QUANTISER_ARGUMENTS);
}

void opus_lanes_plain_one_state(quantiser *c)
{
    silk_NSQ_c(QUANTISER_ARGUMENTS);
}

void opus_lanes_hook_silk_warped_autocorrelation_FLP(silk_float *corr, const silk_float *input,
    const silk_float warping, const opus_int length, const opus_int order)
{
    warped call = { corr, input, warping, length, order };
    if (length % 8 != 0 || length > 480 || !opus_lanes_wait(WARPED_AUTOCORRELATION, &call)) {
        silk_warped_autocorrelation_FLP(corr, input, warping, length, order);
    }
}

void opus_lanes_plain_warped(warped *c)
{
    silk_warped_autocorrelation_FLP(c->correlations, c->input, c->warping, c->length, c->order);
}

void opus_lanes_hook_silk_A2NLSF(opus_int16 *nlsf, opus_int32 *a, const opus_int d)
{
    if (d != 10 || !opus_lanes_a2nlsf(nlsf, a)) silk_A2NLSF(nlsf, a, d);
}

/* As silk_NLSF_encode is (silk/NLSF_encode.c), but that the trellis is walked for all survivors of
   the first stage at once. */
opus_int32 opus_lanes_hook_silk_NLSF_encode(opus_int8 *indices, opus_int16 *nlsf, const silk_NLSF_CB_struct *cb,
    const opus_int16 *weights, const opus_int mu, const opus_int survivors, const opus_int type)
{
    opus_int32 errors[32], distortions[8];
    opus_int first[8], best;
    opus_int8 paths[8 * 16];
    opus_int16 residuals[8 * 16], adjusted[8 * 16], rate_rows[8 * 16];
    opus_uint8 predictors[8 * 16];
    const opus_uint8 *icdf = &cb->CB1_iCDF[(type >> 1) * cb->nVectors];
    int i, s;
    if (cb->order != 10 || cb->nVectors > 32 || survivors > 8 || !opus_lanes_trellis_ready()) {
        return silk_NLSF_encode(indices, nlsf, cb, weights, mu, survivors, type);
    }
    silk_NLSF_stabilize(nlsf, cb->deltaMin_Q15, cb->order);
    silk_NLSF_VQ(errors, nlsf, cb->CB1_NLSF_Q8, cb->CB1_Wght_Q9, cb->nVectors, cb->order);
    silk_insertion_sort_increasing(errors, first, cb->nVectors, survivors);
    for (s = 0; s < survivors; s++) {
        const opus_uint8 *element = &cb->CB1_NLSF_Q8[first[s] * cb->order];
        const opus_int16 *weight = &cb->CB1_Wght_Q9[first[s] * cb->order];
        for (i = 0; i < cb->order; i++) {
            opus_int16 centre = silk_LSHIFT16((opus_int16)element[i], 7);
            residuals[s * 16 + i] = (opus_int16)silk_RSHIFT(silk_SMULBB(nlsf[i] - centre, weight[i]), 14);
            adjusted[s * 16 + i] = silk_DIV32_varQ((opus_int32)weights[i], silk_SMULBB(weight[i], weight[i]), 21);
        }
        silk_NLSF_unpack(&rate_rows[s * 16], &predictors[s * 16], cb, first[s]);
    }
    opus_lanes_trellis(survivors, paths, distortions, residuals, adjusted, predictors, rate_rows, cb->ec_Rates_Q5,
        cb->quantStepSize_Q16, cb->invQuantStepSize_Q6, mu);
    for (s = 0; s < survivors; s++) {
        int at = first[s], probability = at == 0 ? 256 - icdf[0] : icdf[at - 1] - icdf[at];
        opus_int bits = (8 << 7) - silk_lin2log(probability);
        distortions[s] = silk_SMLABB(distortions[s], bits, silk_RSHIFT(mu, 2));
    }
    silk_insertion_sort_increasing(distortions, &best, survivors, 1);
    indices[0] = (opus_int8)first[best];
    silk_memcpy(&indices[1], &paths[best * 16], cb->order * sizeof(opus_int8));
    silk_NLSF_decode(nlsf, indices, cb);
    return distortions[0];
}

#define LTP_PARAMETERS opus_int8 *ind, opus_int32 *nrg, opus_int32 *rd, opus_int *gain, const opus_int32 *XX,     \
    const opus_int32 *xX, const opus_int8 *cb, const opus_uint8 *cg, const opus_uint8 *cl, const opus_int length, \
    const opus_int32 max, const opus_int entries
#define LTP_ARGUMENTS ind, nrg, rd, gain, XX, xX, cb, cg, cl, length, max, entries

void opus_lanes_hook_silk_VQ_WMat_EC_c(LTP_PARAMETERS)
{
    if (!opus_lanes_ltp_search(LTP_ARGUMENTS)) silk_VQ_WMat_EC_c(LTP_ARGUMENTS);
}

void opus_lanes_hook_silk_VQ_WMat_EC_sse4_1(LTP_PARAMETERS)
{
    if (!opus_lanes_ltp_search(LTP_ARGUMENTS)) silk_VQ_WMat_EC_sse4_1(LTP_ARGUMENTS);
}

/* For src/quantiser.rs: the re-whitening filter is libopus' own. */
void opus_lanes_rewhiten(opus_int16 *out, const opus_int16 *in, const opus_int16 *a, opus_int32 length, opus_int32 order)
{
    silk_LPC_analysis_filter(out, in, a, length, order, 0);
}

/* For the tests of src: libopus' own functions, and an encoder's part that one of them reads. */
void opus_lanes_test_quantiser(quantiser *c, int states)
{
    silk_encoder_state e;
    memset(&e, 0, sizeof e);
    e.nStatesDelayedDecision = states;
    e.nb_subfr = 4;
    e.subfr_length = c->subframe;
    e.frame_length = 4 * c->subframe;
    e.ltp_mem_length = 4 * c->subframe;
    e.shapingLPCOrder = c->shaping_order;
    e.predictLPCOrder = c->lpc_order;
    e.warping_Q16 = c->warping;
    c->encoder = &e;
    if (states == 1) {
        opus_lanes_plain_one_state(c);
    } else {
        opus_lanes_plain_quantiser(c);
    }
    c->encoder = 0;
}

/* Arithmetic as in silk/float/warped_autocorrelation_FLP.c, compiled as that is: tells whether the
   compiler rounds a product and a sum once. */
double opus_lanes_probe_section(double state, double next, double before, float warping_)
{
    const silk_float warping = warping_;
    double out = state + warping * next - warping * before;
    return out;
}

double opus_lanes_probe_sum(double sum, double a, double b)
{
    sum += a * b;
    return sum;
}
