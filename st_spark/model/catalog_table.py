"""The facts of the catalog, as tables of words: one model a line, one fact a column. catalog.py reads them.

The zip for clusters holds Python files alone, so the tables are in one.
"""

# Name, task, kind, dimensions, longest text in tokens, score, whether vectors have length 1, languages, licence,
# parameters in millions, shape (a key of SPEEDS). "-" is for what nobody has published or measured, "?" for a licence
# that we do not know, "none" for a model whose page names no licence.
DOCUMENTED = """
all-mpnet-base-v2    general MPNet    768 384 cosine yes en apache-2.0 109.5 mpnet-12x768
all-mpnet-base-v1    general MPNet    768 512 cosine yes en apache-2.0 109.5 mpnet-12x768
all-distilroberta-v1 general RoBERTa  768 512 cosine yes en apache-2.0  82.1 bert-6x768
all-roberta-large-v1 general RoBERTa 1024 256 cosine yes en apache-2.0 355.4 bert-24x1024
all-MiniLM-L12-v2    general BERT     384 128 cosine yes en apache-2.0  33.4 bert-12x384
all-MiniLM-L12-v1    general BERT     384 128 cosine yes en apache-2.0  33.4 bert-12x384
all-MiniLM-L6-v2     general BERT     384 256 cosine yes en apache-2.0  22.7 bert-6x384
all-MiniLM-L6-v1     general BERT     384 128 cosine yes en apache-2.0  22.7 bert-6x384
sentence-t5-base     general T5+Dense 768 256 cosine yes en apache-2.0  110.2 t5-12x768
sentence-t5-large    general T5+Dense 768 256 cosine yes en apache-2.0  335.7 t5-24x1024
sentence-t5-xl       general T5+Dense 768 256 cosine yes en apache-2.0 1241.7 t5-24x1024-xl
sentence-t5-xxl      general T5+Dense 768 256 cosine yes en apache-2.0 4865.6 -
gtr-t5-base          search  T5+Dense 768 512 cosine yes en apache-2.0  110.2 t5-12x768
gtr-t5-large         search  T5+Dense 768 512 cosine yes en apache-2.0  335.7 t5-24x1024
gtr-t5-xl            search  T5+Dense 768 512 cosine yes en apache-2.0 1241.7 t5-24x1024-xl
gtr-t5-xxl           search  T5+Dense 768 512 cosine yes en apache-2.0 4865.6 -
paraphrase-mpnet-base-v2         paraphrase MPNet   768 512 cosine no en apache-2.0 109.5 mpnet-12x768
paraphrase-distilroberta-base-v2 paraphrase RoBERTa 768 256 cosine no en apache-2.0  82.1 bert-6x768
paraphrase-albert-small-v2       paraphrase ALBERT  768 256 cosine no en apache-2.0  11.7 albert-6x768
paraphrase-TinyBERT-L6-v2        paraphrase BERT    768 128 cosine no en apache-2.0  67.0 bert-6x768
paraphrase-MiniLM-L12-v2         paraphrase BERT    384 256 cosine no en apache-2.0  33.4 bert-12x384
paraphrase-MiniLM-L6-v2          paraphrase BERT    384 128 cosine no en apache-2.0  22.7 bert-6x384
paraphrase-MiniLM-L3-v2          paraphrase BERT    384 128 cosine no en apache-2.0  17.4 bert-3x384
multi-qa-mpnet-base-cos-v1 search MPNet      768 512 cosine yes en none 109.5 mpnet-12x768
multi-qa-distilbert-cos-v1 search DistilBERT 768 512 cosine yes en ?     66.4 bert-6x768
multi-qa-MiniLM-L6-cos-v1  search BERT       384 512 cosine yes en apache-2.0 22.7 bert-6x384
multi-qa-mpnet-base-dot-v1 search MPNet      768 512 dot    no  en none 109.5 mpnet-12x768
multi-qa-distilbert-dot-v1 search DistilBERT 768 512 dot    no  en none  66.4 bert-6x768
multi-qa-MiniLM-L6-dot-v1  search BERT       384 512 dot    no  en none  22.7 bert-6x384
msmarco-distilbert-cos-v5     search DistilBERT 768 512 cosine yes en none        66.4 bert-6x768
msmarco-MiniLM-L12-cos-v5     search BERT       384 512 cosine yes en none        33.4 bert-12x384
msmarco-MiniLM-L6-cos-v5      search BERT       384 512 cosine yes en none        22.7 bert-6x384
msmarco-bert-base-dot-v5      search BERT       768 512 dot    no  en none       109.5 bert-12x768
msmarco-distilbert-dot-v5     search DistilBERT 768 512 dot    no  en apache-2.0  66.4 bert-6x768
msmarco-distilbert-base-tas-b search DistilBERT 768 512 dot    no  en apache-2.0  66.4 bert-6x768
distiluse-base-multilingual-cased-v1 multilingual DistilBERT+Dense 512 128 cosine no 15  apache-2.0 135.1 bert-6x768
distiluse-base-multilingual-cased-v2 multilingual DistilBERT+Dense 512 128 cosine no 50+ apache-2.0 135.1 bert-6x768
paraphrase-multilingual-mpnet-base-v2 multilingual XLM-R 768 128 cosine no 50+ apache-2.0 278.0 bert-12x768
paraphrase-multilingual-MiniLM-L12-v2 multilingual BERT  384 128 cosine no 50+ apache-2.0 117.7 bert-12x384
LaBSE bitext BERT+Dense 768 256 cosine yes 109 apache-2.0 471.5 bert-12x768
clip-ViT-L-14                 image-text CLIP             768  77 cosine no en  none       427.6 clip-12x768
clip-ViT-B-16                 image-text CLIP             512  77 cosine no en  none       149.6 clip-12x512
clip-ViT-B-32                 image-text CLIP             512  77 cosine no en  none       151.3 clip-12x512
clip-ViT-B-32-multilingual-v1 image-text DistilBERT+Dense 512 128 cosine no 50+ apache-2.0 135.1 bert-6x768
hkunlp/instructor-base  instructions T5+Dense 768 512 cosine yes en apache-2.0  110.2 t5-12x768
hkunlp/instructor-large instructions T5+Dense 768 512 cosine yes en apache-2.0  335.7 t5-24x1024
hkunlp/instructor-xl    instructions T5+Dense 768 512 cosine yes en apache-2.0 1241.7 t5-24x1024-xl
allenai-specter papers BERT 768 512 cosine no en apache-2.0 109.9 bert-12x768
nq-distilbert-base-v1 questions DistilBERT 768 512 cosine no en apache-2.0 66.4 bert-6x768
facebook-dpr-ctx_encoder-single-nq-base      questions BERT 768 509 dot no en cc-by-nc-4.0 109.5 bert-12x768
facebook-dpr-question_encoder-single-nq-base questions BERT 768 509 dot no en cc-by-nc-4.0 109.5 bert-12x768
facebook-dpr-ctx_encoder-multiset-base       questions BERT 768 509 dot no en cc-by-nc-4.0 109.5 bert-12x768
facebook-dpr-question_encoder-multiset-base  questions BERT 768 509 dot no en cc-by-nc-4.0 109.5 bert-12x768
average_word_embeddings_glove.6B.300d           words WordEmbeddings 300 1000000 cosine no en apache-2.0 120.0 words
average_word_embeddings_komninos                words WordEmbeddings 300 1000000 cosine no en apache-2.0  66.7 words
average_word_embeddings_levy_dependency         words WordEmbeddings 300 1000000 cosine no en apache-2.0  52.2 words
average_word_embeddings_glove.840B.300d         words WordEmbeddings 300 1000000 cosine no en apache-2.0 660.0 words
"""

# Models of other authors whose architectures we test. The same columns; "any" for no limit of the length.
COMMUNITY = """
intfloat/e5-small-v2 search BERT  384 512 cosine yes en mit  33.4 bert-12x384
intfloat/e5-base-v2  search BERT  768 512 cosine yes en mit 109.5 bert-12x768
intfloat/e5-large-v2 search BERT 1024 512 cosine yes en mit 335.1 bert-24x1024
intfloat/multilingual-e5-small          search BERT   384 512 cosine yes 100 mit 117.7 bert-12x384
intfloat/multilingual-e5-base           search XLM-R  768 512 cosine yes 100 mit 278.0 bert-12x768
intfloat/multilingual-e5-large          search XLM-R 1024 512 cosine yes 100 mit 559.9 bert-24x1024
intfloat/multilingual-e5-large-instruct search XLM-R 1024 512 cosine yes 100 mit 559.9 bert-24x1024
BAAI/bge-small-en-v1.5 search BERT   384  512 cosine yes en   mit  33.4 bert-12x384
BAAI/bge-base-en-v1.5  search BERT   768  512 cosine yes en   mit 109.5 bert-12x768
BAAI/bge-large-en-v1.5 search BERT  1024  512 cosine yes en   mit 335.1 bert-24x1024
BAAI/bge-m3            search XLM-R 1024 8192 cosine yes 100+ mit 567.8 bert-24x1024
thenlper/gte-small search BERT  384 512 cosine - en mit  33.4 bert-12x384
thenlper/gte-base  search BERT  768 512 cosine - en mit 109.5 bert-12x768
thenlper/gte-large search BERT 1024 512 cosine - en mit 335.1 bert-24x1024
Alibaba-NLP/gte-modernbert-base search ModernBERT 768 8192 cosine - en apache-2.0 149.0 modernbert-22x768
nomic-ai/nomic-embed-text-v1.5  search NomicBERT  768 8192 cosine - en apache-2.0 136.7 nomic-12x768
nomic-ai/modernbert-embed-base  search ModernBERT 768 8192 cosine - en apache-2.0 149.0 modernbert-22x768
Qwen/Qwen3-Embedding-0.6B search Qwen3        1024 32768 cosine - 100+ apache-2.0 595.8 qwen3-28x1024
google/embeddinggemma-300m search Gemma3+Dense 768  2048 cosine - 100+ gemma      307.6 gemma3-24x768
Snowflake/snowflake-arctic-embed-xs     search BERT       384  512 cosine - en apache-2.0  22.7 bert-6x384
Snowflake/snowflake-arctic-embed-s      search BERT       384  512 cosine - en apache-2.0  33.4 bert-12x384
Snowflake/snowflake-arctic-embed-m      search BERT       768  512 cosine - en apache-2.0 109.5 bert-12x768
Snowflake/snowflake-arctic-embed-m-v1.5 search BERT       768  512 cosine - en apache-2.0 109.5 bert-12x768
Snowflake/snowflake-arctic-embed-m-long search NomicBERT  768 2048 cosine - en apache-2.0 136.7 nomic-12x768
Snowflake/snowflake-arctic-embed-l      search BERT      1024  512 cosine - en apache-2.0 335.1 bert-24x1024
Snowflake/snowflake-arctic-embed-l-v2.0 search XLM-R     1024 8192 cosine - 74 apache-2.0 567.8 bert-24x1024
mixedbread-ai/mxbai-embed-large-v1            search BERT  1024 512 cosine - en    apache-2.0 335.1 bert-24x1024
mixedbread-ai/deepset-mxbai-embed-de-large-v1 search XLM-R 1024 512 cosine - de,en apache-2.0 487.1 bert-24x1024
WhereIsAI/UAE-Large-V1                        search BERT  1024 512 cosine - en    mit        335.1 bert-24x1024
ibm-granite/granite-embedding-30m-english   search RoBERTa    384  512 cosine - en apache-2.0  30.3 bert-6x384
ibm-granite/granite-embedding-125m-english  search RoBERTa    768  512 cosine - en apache-2.0 124.6 bert-12x768
ibm-granite/granite-embedding-small-english-r2 search ModernBERT 384 8192 cosine - en apache-2.0  47.7 modernbert-12x384
ibm-granite/granite-embedding-english-r2    search ModernBERT 768 8192 cosine - en apache-2.0 149.0 modernbert-22x768
ibm-granite/granite-embedding-107m-multilingual search XLM-R      384  512 cosine - 12 apache-2.0 107.0 bert-6x384
ibm-granite/granite-embedding-278m-multilingual search XLM-R      768  512 cosine - 12 apache-2.0 278.0 bert-12x768
static-retrieval-mrl-en-v1            search Static 1024 any cosine - en apache-2.0  31.3 static
static-similarity-mrl-multilingual-v1 words  Static 1024 any cosine - 49 apache-2.0 108.4 static
minishlab/potion-base-2M           words  Static  64 any cosine - en  mit   1.9 static
minishlab/potion-base-4M           words  Static 128 any cosine - en  mit   3.8 static
minishlab/potion-base-8M           words  Static 256 any cosine - en  mit   7.6 static
minishlab/potion-base-32M          words  Static 512 any cosine - en  mit  32.3 static
minishlab/potion-retrieval-32M     search Static 512 any cosine - en  mit  32.3 static
minishlab/potion-multilingual-128M words  Static 256 any cosine - 101 mit 128.1 static
"""

# What Sentence-Transformers has published: name, sentences per second on a V100 GPU, queries per second on a GPU and on
# a CPU, results in percent.
PUBLISHED = """
all-mpnet-base-v2    2800 - - average=63.30
all-distilroberta-v1 4000 - - average=59.84
all-MiniLM-L12-v2    7500 - - average=59.76
all-MiniLM-L6-v2    14200 - - average=58.80
paraphrase-albert-small-v2  5000 - - average=52.25
paraphrase-MiniLM-L3-v2    19000 - - average=50.74
multi-qa-mpnet-base-cos-v1    -  4000 170 search=57.46
multi-qa-distilbert-cos-v1 4000  7000 350 average=59.41 search=52.83
multi-qa-MiniLM-L6-cos-v1 14200 18000 750 average=58.08 search=51.83
multi-qa-mpnet-base-dot-v1 2800  4000 170 average=62.18 search=57.60
multi-qa-distilbert-dot-v1    -  7000 350 search=52.51
multi-qa-MiniLM-L6-dot-v1     - 18000 750 search=49.19
msmarco-distilbert-cos-v5     -  7000 350 search=44.98 msmarco=33.79
msmarco-MiniLM-L12-cos-v5     - 11000 400 search=43.89 msmarco=32.75
msmarco-MiniLM-L6-cos-v5      - 18000 750 search=42.16 msmarco=32.27
msmarco-bert-base-dot-v5      -  4000 170 search=52.11 msmarco=38.08
msmarco-distilbert-dot-v5     -  7000 350 search=49.47 msmarco=37.25
msmarco-distilbert-base-tas-b -  7000 350 search=49.25 msmarco=34.43
distiluse-base-multilingual-cased-v1  4000 - - average=45.59
distiluse-base-multilingual-cased-v2  4000 - - average=43.77
paraphrase-multilingual-mpnet-base-v2 2500 - - average=53.75
paraphrase-multilingual-MiniLM-L12-v2 7500 - - average=51.72
clip-ViT-L-14 - - - imagenet=75.4
clip-ViT-B-16 - - - imagenet=68.1
clip-ViT-B-32 - - - imagenet=63.3
nq-distilbert-base-v1 - - - nq=72.36
average_word_embeddings_glove.6B.300d 34000 - - average=36.25
average_word_embeddings_komninos      22000 - - average=36.39
"""

# Languages, as codes. Of 15 the documentation names these 13. Authors who say "100+" publish no list.
LANGUAGES = """
15  ar de en es fr it ko nl pl pt ru tr zh
50+ ar bg ca cs da de el en es et fa fi fr fr-ca gl gu he hi hr hu hy id it ja ka ko ku lt lv mk mn mr ms my nb nl pl
    pt pt-br ro ru sk sl sq sr sv th tr uk ur vi zh-cn zh-tw
109 af am ar as az be bg bn bo bs ca ceb co cs cy da de el en eo es et eu fa fi fr fy ga gd gl gu ha haw he hi hmn hr
    ht hu hy id ig is it ja jv ka kk km kn ko ku ky la lb lo lt lv mg mi mk ml mn mr ms mt my ne nl no ny or pa pl pt
    ro ru rw si sk sl sm sn so sq sr st su sv sw ta te tg th tk tl tr tt ug uk ur uz vi wo xh yi yo zh zu
12  ar cs de en es fr it ja ko nl pt zh
49  ar bg ca cs da de el en es et fa fi fr gl gu he hi hu hy id it ja ka ko ku lt lv mk ml mn mr my nb nl pl pt ro ru
    sk sl sq sr sv th tr uk ur vi zh
74  af ar az be bg bn ca ceb cs cy da de el en es et eu fa fi fr gl gu he hi hr ht hu hy id is it ja jv ka kk km kn ko
    ky lo lt lv mk ml mn mr ms my ne nl pa pl pt qu ro ru si sk sl so sq sr sv sw ta te th tl tr uk ur vi yo zh
100 af am ar as az be bg bn br bs ca cs cy da de el en eo es et eu fa fi fr fy ga gd gl gu ha he hi hr hu hy id is it
    ja jv ka kk km kn ko ku ky la lo lt lv mg mk ml mn mr ms my nb ne nl om or pa pl ps pt ro ru sa sd si sk sl so sq
    sr su sv sw ta te th tl tr ug uk ur uz vi xh yi zh
101 af am ar az be bg bn ca ceb co cs cy da de el en eo es et eu fa fi fil fr fy ga gd gl gu ha haw he hi hmn ht hu hy
    id ig is it ja jv ka kk km kn ko ku ky la lb lo lt lv mg mi mk ml mn mr ms mt my nb ne nl ny pa pl ps pt ro ru sd
    si sk sl sm sn so sq sr st su sv sw ta te tg th tr uk ur uz vi xh yi yo zh zu
"""

# Passages of 128 tokens per second on one core, by shape (architecture, layers x width): in float32, with dtype auto.
# `python -m benchmarks.model_speed` prints them. The weights are random, which does not change the speed.
MEASURED_ON = "one core of an Intel Xeon with AMX"
SPEEDS = """
bert-3x384           65.4    144
bert-6x384           34.7   86.8
bert-12x384          17.5   69.8
bert-6x768            9.1   27.0
bert-12x768           5.0   25.1
bert-24x1024          1.5    6.6
mpnet-12x768          5.7   20.9
albert-6x768         10.3   28.6
t5-12x768             5.8   25.2
t5-24x1024            1.5    6.0
modernbert-12x384    12.2   29.6
modernbert-22x768     3.1   12.0
nomic-12x768          3.7   13.1
qwen3-28x1024         0.8    2.7
gemma3-24x768         3.8   12.2
clip-12x512          20.6   73.4
clip-12x768           9.3   38.7
static               4365   4210
words                8769   9163
"""
