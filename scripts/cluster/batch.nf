// A cohort with Nextflow: every shard is a process; results go into one folder, which every shard writes its own cases of.
//
//   nextflow run scripts/cluster/batch.nf --manifest cases.csv --out results --arguments '--model nano --no-prompts' --shards 8
//
// What the machine did (75: a full disk; 137, 143: killed) is tried again; wrong usage and manifests that cannot be read are not.

params.host = 'host-demo'
params.shards = 4

process shard {
    cpus 1
    memory '4 GB'
    errorStrategy { task.exitStatus in [75, 137, 143] ? 'retry' : 'terminate' }
    maxRetries 3

    input:
    val index

    output:
    val index

    script:
    """
    code=0
    ${params.host} batch '${file(params.manifest)}' --out '${file(params.out)}' --shard ${index}/${params.shards} --resume ${params.arguments} || code=\$?
    case \$code in 0|3|4) ;; *) exit \$code ;; esac
    """
}

process merge {
    input:
    val indices

    script:
    """
    ${params.host} batch merge '${file(params.out)}' --csv '${file(params.out)}/measurements.csv' --html '${file(params.out)}/cohort.html'
    """
}

workflow {
    shard(Channel.of(0..<(params.shards as int))) | collect | merge
}
